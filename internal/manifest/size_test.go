package manifest

import (
	"math"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func TestIncident16SizeParse(t *testing.T) {
	tests := []struct {
		text string
		want Size
		err  string
	}{
		{"128Mi", 134217728, ""},
		{"128MiB", 134217728, ""},
		{"128mib", 134217728, ""},
		{"128M", 128000000, ""},
		{"128MB", 128000000, ""},
		{"128m", 134217728, ""},
		{"128k", 131072, ""},
		{"1g", 1073741824, ""},
		{"1gb", 1073741824, ""},
		{"2t", 2 << 40, ""},
		{"3T", 3e12, ""},
		{"1.5Gi", 1610612736, ""},
		{"0.5k", 512, ""},
		{"134217728", 134217728, ""},
		{"1024B", 1024, ""},
		{"4Mi", 4194304, ""},
		{"", 0, ""},
		{"8388607Ti", 8388607 << 40, ""},
		{"9223372036854775807", math.MaxInt64, ""},

		{"12Qi", 0, `"12Qi" is not a size (try 12Gi)`},
		{"abc", 0, `"abc" is not a size (write it as 512Mi or 2Gi)`},
		{"-1", 0, `"-1" is not a size (leave it out for no limit)`},
		{"1e400", 0, `"1e400" is not a size (write it as 512Mi or 2Gi)`},
		{"128 Mi", 0, `"128 Mi" is not a size (try 128Mi)`},
		{"128Mb", 0, `"128Mb" is not a size (try 128Mi)`},
		{"128mB", 0, `"128mB" is not a size (try 128Mi)`},
		{".5Gi", 0, `".5Gi" is not a size (write it as 512Mi or 2Gi)`},
		{"1.Gi", 0, `"1.Gi" is not a size (write it as 512Mi or 2Gi)`},
		{"1.2.3Gi", 0, `"1.2.3Gi" is not a size (write it as 512Mi or 2Gi)`},
		{"0x10", 0, `"0x10" is not a size (try 0Gi)`},
		{"Gi", 0, `"Gi" is not a size (write it as 512Mi or 2Gi)`},
		{strings.Repeat("1", 40), 0, `is not a size (write it as 512Mi or 2Gi)`},
		{"0", 0, `"0" is zero (leave it out for no limit; with a limit of zero nothing can start)`},
		{"0Mi", 0, `"0Mi" is zero`},
		{"0.4", 0, `"0.4" is zero`},
		{"9999999Ti", 0, `"9999999Ti" overflows (8388607Ti is the most)`},
		{"8388608Ti", 0, `overflows`},
		{"9223372036854775808", 0, `overflows`},
		{"99999999999999999999999", 0, `overflows`},
	}
	for _, tt := range tests {
		got, err := ParseSize(tt.text)
		switch {
		case tt.err == "" && (err != nil || got != tt.want):
			t.Errorf("ParseSize(%q) = %d, %v, want %d", tt.text, int64(got), err, int64(tt.want))
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || got != 0):
			t.Errorf("ParseSize(%q) = %d, %v, want the error %s", tt.text, int64(got), err, tt.err)
		}
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{
		0: "", 1: "1", 1000: "1K", 1024: "1Ki", 134217728: "128Mi", 128000000: "128M", 500e9: "500G",
		1610612736: "1536Mi", 1 << 40: "1Ti", 1e12: "1T",
	} {
		if got := size.String(); got != want {
			t.Errorf("Size(%d).String() = %q, want %q", int64(size), got, want)
		}
	}
}

// TestSizeRoundTrip: what String writes, ParseSize reads.
func TestSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := Size(rapid.Int64Range(1, math.MaxInt64).Draw(t, "bytes"))
		if back, err := ParseSize(size.String()); err != nil || back != size {
			t.Fatalf("%d is written %q and read as %d, %v", int64(size), size, int64(back), err)
		}
	})
}

func TestSizeInYAML(t *testing.T) {
	var got struct{ A, B, C, D Size }
	if err := yaml.Unmarshal([]byte("a: 1Gi\nb: 134217728\nc:\n"), &got); err != nil || got.A != 1<<30 || got.B != 134217728 || got.C != 0 || got.D != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	out, err := yaml.Marshal(got)
	if err != nil || string(out) != "a: 1Gi\nb: 128Mi\nc: \"\"\nd: \"\"\n" {
		t.Errorf("written as %q, %v", out, err)
	}
}

func TestParseDuration(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		err  string
	}{
		{"30s", 30 * time.Second, ""},
		{"1m30s", 90 * time.Second, ""},
		{"5m", 5 * time.Minute, ""},
		{"0s", 0, ""},
		{"1.5s", 1500 * time.Millisecond, ""},
		{"24h", 24 * time.Hour, ""},
		{"30", 0, `"30" is not a duration (try 30s)`},
		{"", 0, `"" is not a duration`},
		{"-30s", 0, `"-30s" is not a duration`},
		{"1d", 0, `"1d" is not a duration`},
		{"1us", 0, `"1us" is not a duration`},
		{"0.1ms", 0, `finer than a millisecond`},
		{"25h", 0, `longer than a day`},
	}
	for _, tt := range tests {
		got, err := ParseDuration(tt.text)
		switch {
		case tt.err == "" && (err != nil || time.Duration(got) != tt.want):
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("ParseDuration(%q) = %v, %v, want the error %s", tt.text, got, err, tt.err)
		}
	}
	for d, want := range map[time.Duration]string{0: "", 30 * time.Second: "30s", 5 * time.Minute: "5m", 90 * time.Second: "1m30s", time.Hour: "1h", 70 * time.Minute: "1h10m"} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}
