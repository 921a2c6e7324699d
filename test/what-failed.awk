# Of the output of go test -v: each test that failed, after the first lines of what it said itself, each with a few of the lines that go on.
/^=== / { test = $3; more = 0 }
/^ +[a-zA-Z0-9_]+\.go:[0-9]+: / { said[test] = said[test] $0 "\n"; more = 6; next }
/^        / && more > 0 { said[test] = said[test] $0 "\n"; more--; next }
/^ *--- FAIL: / { printf "%s%s\n", said[$3], $0 }
{ more = 0 }
/^FAIL\t/
