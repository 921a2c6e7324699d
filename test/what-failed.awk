# Of the output of go test -v: each test that failed, after the first lines of what it said itself.
/^=== / { test = $3 }
/^ +[a-zA-Z0-9_]+\.go:[0-9]+: / { said[test] = said[test] $0 "\n" }
/^ *--- FAIL: / { printf "%s%s\n", said[$3], $0 }
/^FAIL\t/
