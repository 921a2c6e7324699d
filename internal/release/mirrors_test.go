package release

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// site is a release as files of a mirror.
func site(t *testing.T, version string) (dir string, files map[string][]byte) {
	t.Helper()
	in := testInputs(t, t.TempDir())
	in.Version, in.BaseURL = version, "https://updates.example/files"
	created(t, in)
	files = map[string][]byte{"/manifest.json": read(t, filepath.Join(in.Out, ManifestName))}
	for _, name := range []string{BackendName, FrontendName(version)} {
		files["/files/"+name] = read(t, filepath.Join(in.Out, name))
	}
	return in.Out, files
}

func serve(files map[string][]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
}

// mirrorOf starts a server for the time of the test.
func mirrorOf(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// closed is an address that nobody listens at.
func closed(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return "http://" + l.Addr().String()
}

func asking(urls ...string) Mirrors {
	return Mirrors{URLs: urls, Policy: PolicyIfPresent, Client: MirrorClient(), Limit: 20 * time.Second, DeepLimit: time.Minute, Now: time.Now}
}

func with(files map[string][]byte, path string, data []byte) map[string][]byte {
	out := map[string][]byte{}
	for k, v := range files {
		out[k] = v
	}
	out[path] = data
	if data == nil {
		delete(out, path)
	}
	return out
}

func TestMirrors(t *testing.T) {
	_, files := site(t, "1.2.3")
	_, other := site(t, "1.2.4")
	good := mirrorOf(t, serve(files))
	archive := "/files/" + FrontendName("1.2.3")
	damaged := bytes.Clone(files[archive])
	damaged[100] ^= 1
	tests := map[string]struct {
		second string
		tune   func(*Mirrors)
		status string // of the second, with its artefacts
		want   Agreement
	}{
		"the same":               {mirrorOf(t, serve(files)), nil, "ok 2/2", MirrorsAgree},
		"the same, deep":         {mirrorOf(t, serve(files)), func(m *Mirrors) { m.Deep = true }, "ok 2/2", MirrorsAgree},
		"named by its file":      {good + "/manifest.json", nil, "ok 2/2", MirrorsAgree},
		"nobody there":           {closed(t), nil, "unreachable ", MirrorsPartly},
		"404":                    {mirrorOf(t, serve(nil)), nil, "http 404 ", MirrorsPartly},
		"500":                    {mirrorOf(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }), nil, "http 500 ", MirrorsPartly},
		"another version":        {mirrorOf(t, serve(other)), nil, "ok 2/2", MirrorsDiffer},
		"other bytes":            {mirrorOf(t, serve(with(files, "/manifest.json", append(bytes.Clone(files["/manifest.json"]), '\n')))), nil, "ok 2/2", MirrorsDiffer},
		"HTML":                   {mirrorOf(t, serve(with(files, "/manifest.json", []byte("<html>welcome")))), nil, "not json ", MirrorsDiffer},
		"JSON of something else": {mirrorOf(t, serve(with(files, "/manifest.json", []byte("{}")))), nil, "not json ", MirrorsDiffer},
		"endless manifest":       {mirrorOf(t, endlessAnswer), nil, "not json ", MirrorsDiffer},
		"an artefact missing":    {mirrorOf(t, serve(with(files, archive, nil))), nil, "ok 1/2", MirrorsDiffer},
		"an artefact cut":        {mirrorOf(t, serve(with(files, archive, damaged[:99]))), nil, "ok 1/2", MirrorsDiffer},
		"damaged, not looked at": {mirrorOf(t, serve(with(files, archive, damaged))), nil, "ok 2/2", MirrorsAgree},
		"damaged, deep":          {mirrorOf(t, serve(with(files, archive, damaged))), func(m *Mirrors) { m.Deep = true }, "ok 1/2", MirrorsDiffer},
		"lies about the length":  {mirrorOf(t, liar(files, archive)), func(m *Mirrors) { m.Deep = true }, "ok 1/2", MirrorsDiffer},
		"hangs":                  {mirrorOf(t, hang), func(m *Mirrors) { m.Limit = 300 * time.Millisecond }, "unreachable ", MirrorsPartly},
		"hangs in the middle":    {mirrorOf(t, hangInside), func(m *Mirrors) { m.Limit = 300 * time.Millisecond }, "unreachable ", MirrorsPartly},
		"sends elsewhere":        {mirrorOf(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, good+r.URL.Path, http.StatusFound) }), nil, "http 302 ", MirrorsPartly},
		"sends in a circle":      {mirrorOf(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }), nil, "http 302 ", MirrorsPartly},
		"sends within itself":    {mirrorOf(t, moved(files)), nil, "ok 2/2", MirrorsAgree},
		"unknown signature":      {mirrorOf(t, serve(with(files, "/manifest.json.minisig", []byte("x")))), nil, "bad signature ", MirrorsDiffer},
		"unknown, not asked for": {mirrorOf(t, serve(with(files, "/manifest.json.minisig", []byte("x")))), func(m *Mirrors) { m.Policy = PolicyNever }, "ok 2/2", MirrorsAgree},
		"another was expected":   {mirrorOf(t, serve(files)), func(m *Mirrors) { m.Expect = "1.2.4" }, "ok 2/2", MirrorsDiffer},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := asking(good, test.second)
			if test.tune != nil {
				test.tune(&m)
			}
			rows := m.Ask(t.Context())
			if rows[0].Status != "ok" || rows[0].Version != "1.2.3" || rows[0].Artefacts != "2/2" {
				t.Errorf("the good one: %+v", rows[0])
			}
			if got := rows[1].Status + " " + rows[1].Artefacts; got != test.status {
				t.Errorf("status %q, want %q: %s", got, test.status, rows[1].Detail)
			}
			if got := m.Agree(rows); got != test.want {
				t.Errorf("agreement %d, want %d", got, test.want)
			}
		})
	}
}

// TestMirrorsOfAnExpiredRelease: all of them serve it, and that is said of each.
func TestMirrorsOfAnExpiredRelease(t *testing.T) {
	_, files := site(t, "1.2.3")
	text := bytes.Replace(files["/manifest.json"], []byte(`"schema"`), []byte(`"expires": "2020-01-01T00:00:00Z", "schema"`), 1)
	server := serve(with(files, "/manifest.json", text))
	m := asking(mirrorOf(t, server), mirrorOf(t, server))
	rows := m.Ask(t.Context())
	for _, r := range rows {
		if r.Status != "ok" || r.Artefacts != "2/2" || !strings.HasPrefix(r.Detail, "W_EXPIRED  expires  2020-01-01T00:00:00Z, want not before ") {
			t.Errorf("%+v", r)
		}
	}
	if got := m.Agree(rows); got != MirrorsAgree {
		t.Errorf("agreement %d", got)
	}
}

func TestMirrorTLS(t *testing.T) {
	_, files := site(t, "1.2.3")
	s := httptest.NewTLSServer(serve(files))
	defer s.Close()
	s.Config.ErrorLog = nil
	m := asking(s.URL)
	rows := m.Ask(t.Context())
	if rows[0].Status != "tls" || m.Agree(rows) != MirrorsSilent {
		t.Errorf("%+v", rows[0])
	}
	m.Client = s.Client()
	if rows := m.Ask(t.Context()); rows[0].Status != "ok" {
		t.Errorf("%+v", rows[0])
	}
}

func TestMirrorSigned(t *testing.T) {
	key, keys := quickKey(t, "k")
	in := testInputs(t, t.TempDir())
	in.Key, in.BaseURL = key, "https://updates.example/files"
	r := created(t, in)
	files := map[string][]byte{"/manifest.json": read(t, r.Manifest), "/manifest.json.minisig": read(t, r.Signature), "/files/archipelago": read(t, r.Binary), "/files/" + filepath.Base(r.Archive): read(t, r.Archive)}
	m := asking(mirrorOf(t, serve(files)), mirrorOf(t, serve(with(files, "/manifest.json.minisig", nil))))
	m.Keys, m.Policy = keys, PolicyAlways
	rows := m.Ask(t.Context())
	if rows[0].Status != "ok" || rows[1].Status != "http 404" || !strings.Contains(rows[1].Detail, string(SignatureMissing)) || m.Agree(rows) != MirrorsDiffer {
		t.Errorf("%+v", rows)
	}
}

// TestMirrorWhoseSignatureCannotBeFetched: that is not a bad signature. The mirror is not there, unless what it has said until then differs.
func TestMirrorWhoseSignatureCannotBeFetched(t *testing.T) {
	_, files := site(t, "1.2.3")
	_, other := site(t, "1.2.4")
	failing := func(files map[string][]byte, fail http.HandlerFunc) string {
		return mirrorOf(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/manifest.json.minisig" {
				fail(w, r)
				return
			}
			serve(files)(w, r)
		})
	}
	broken := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, test := range map[string]struct {
		second, status, detail string
		want                   Agreement
	}{
		"500":                      {failing(files, broken), "http 500", SignatureName + ": ", MirrorsPartly},
		"cut":                      {failing(files, cut), "unreachable", SignatureName + ": ", MirrorsPartly},
		"hangs":                    {failing(files, hang), "unreachable", SignatureName + ": ", MirrorsPartly},
		"endless":                  {failing(files, endlessAnswer), "bad signature", SignatureName + ": ", MirrorsDiffer},
		"500, and another version": {failing(other, broken), "http 500", SignatureName + ": ", MirrorsDiffer},
	} {
		t.Run(name, func(t *testing.T) {
			m := asking(mirrorOf(t, serve(files)), test.second)
			m.Limit = 2 * time.Second
			rows := m.Ask(t.Context())
			if got := rows[1]; got.Status != test.status || !strings.HasPrefix(got.Detail, test.detail) {
				t.Errorf("%+v", got)
			}
			if got := m.Agree(rows); got != test.want {
				t.Errorf("agreement %d, want %d", got, test.want)
			}
		})
	}
}

func endlessAnswer(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 64<<10)); err != nil {
			return
		}
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func hangInside(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, `{"version": "1.2.3"`)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// liar says the right length of the archive and sends less.
func liar(files map[string][]byte, archive string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != archive {
			serve(files)(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(files[archive])))
		_, _ = w.Write(files[archive][:1000])
	}
}

// moved sends each request to a folder on the same server first.
func moved(files map[string][]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, "/moved")
		if !ok {
			http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusFound)
			return
		}
		r.URL.Path = path
		serve(files)(w, r)
	}
}

// TestMirrorCredentials: a URL with a password in it is refused before anybody is asked.
func TestMirrorCredentials(t *testing.T) {
	for _, address := range []string{"https://user:pass@updates.example", "ftp://updates.example", "updates.example", "file:///etc"} {
		if _, err := MirrorManifest(address); err == nil {
			t.Errorf("%s is taken", address)
		}
	}
}
