package update

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const goodPage = `<!doctype html><head><script type="module" src="/assets/app.js"></script>
<link rel="stylesheet" href="assets/app.css"></head><body><div id="app"></div></body>`

// site answers like nginx before the node's page: every path by its entry, all others with 404.
type site map[string]func(http.ResponseWriter, *http.Request)

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f, ok := s[r.Method+" "+r.URL.Path]; ok {
		f(w, r)
		return
	}
	http.NotFound(w, r)
}

func says(code int, kind, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func goodSite() site {
	return site{
		"GET /":               says(200, "text/html; charset=utf-8", goodPage),
		"GET /assets/app.js":  says(200, "application/javascript", "1"),
		"GET /assets/app.css": says(200, "text/css", ""),
		"POST /rpc/v1":        says(401, "application/json", "{}"),
	}
}

func TestProbe(t *testing.T) {
	tests := map[string]struct {
		change func(site)
		want   string
	}{
		"all well": {func(site) {}, ""},
		"page 500": {func(s site) { s["GET /"] = says(500, "text/html", goodPage) }, "GET / → 500"},
		"page 403": {func(s site) { s["GET /"] = says(403, "text/html", "no") }, "GET / → 403"},
		"page elsewhere": {func(s site) {
			s["GET /"] = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/assets/app.js", http.StatusFound) }
		}, "GET / → 302"},
		"page empty":     {func(s site) { s["GET /"] = says(200, "text/html", " \n") }, "GET / → an empty page"},
		"page no HTML":   {func(s site) { s["GET /"] = says(200, "text/plain", goodPage) }, "GET / → text/plain, not HTML"},
		"script missing": {func(s site) { delete(s, "GET /assets/app.js") }, "GET /assets/app.js → 404"},
		"style missing":  {func(s site) { delete(s, "GET /assets/app.css") }, "GET /assets/app.css → 404"},
		"page in place of a script (blank page)": {func(s site) { s["GET /assets/app.js"] = s["GET /"] },
			"GET /assets/app.js → the page instead of a script or style sheet"},
		"backend away":    {func(s site) { s["POST /rpc/v1"] = says(502, "text/html", "") }, "POST /rpc/v1 → 502"},
		"backend says no": {func(s site) { s["POST /rpc/v1"] = says(404, "text/plain", "") }, ""},
		"answer breaks off": {func(s site) {
			s["GET /"] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, "<html>")
			}
		}, "GET / → unexpected EOF"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := goodSite()
			tt.change(s)
			server := httptest.NewTLSServer(s)
			defer server.Close()
			ok, detail := NewHTTPProber(server.URL + "/").Probe(t.Context())
			if detail != tt.want || ok != (tt.want == "") {
				t.Errorf("%v %q, want %q", ok, detail, tt.want)
			}
		})
	}
}

func TestProbeOfNobody(t *testing.T) {
	server := httptest.NewTLSServer(goodSite())
	server.Close()
	if ok, detail := NewHTTPProber(server.URL + "/").Probe(t.Context()); ok || detail != "GET / → connection refused" {
		t.Error(ok, detail)
	}
}

func TestProbeEndsWithItsTime(t *testing.T) {
	release := make(chan struct{})
	s := goodSite()
	s["POST /rpc/v1"] = func(http.ResponseWriter, *http.Request) { <-release }
	server := httptest.NewTLSServer(s)
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if ok, detail := NewHTTPProber(server.URL + "/").Probe(ctx); ok || detail != "POST /rpc/v1 → no answer in time" && detail != "GET / → no answer in time" {
		t.Error(ok, detail)
	}
}

func TestPageAssets(t *testing.T) {
	page, _ := url.Parse("https://127.0.0.1/")
	const text = `<base href="/ui/">
<script src="a.js"></script><SCRIPT SRC=/b.js?v=1></SCRIPT><script>var x = '<script src="no.js">'</script>
<link rel="preload stylesheet" href="c.css#x"><link rel=icon href=icon.png><link rel="stylesheet">
<script src="https://elsewhere.example/d.js"></script><script src="//elsewhere.example/e.js"></script>
<script src="data:text/javascript,1"></script><script src="http://127.0.0.1/f.js"></script>
<!-- <script src="no.js"></script> --><script src="a.js"></script><script src="%zz"></script>`
	var got []string
	for _, u := range pageAssets(page, []byte(text)) {
		got = append(got, u.RequestURI())
	}
	if s := strings.Join(got, " "); s != "/ui/a.js /b.js?v=1 /ui/c.css" {
		t.Error(s)
	}
	var many strings.Builder
	for i := range 50 {
		fmt.Fprintf(&many, `<script src="/%d.js"></script>`, i)
	}
	if n := len(pageAssets(page, []byte(many.String()))); n != 20 {
		t.Errorf("%d assets", n)
	}
}

func FuzzPageAssets(f *testing.F) {
	page, _ := url.Parse("https://127.0.0.1/")
	f.Add([]byte(goodPage))
	f.Add([]byte(`<base href="://"><script src="\x00">`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, u := range pageAssets(page, text) {
			if u.Host != page.Host || u.Scheme != "https" {
				t.Errorf("leads elsewhere: %s", u)
			}
		}
	})
}
