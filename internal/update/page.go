package update

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxAssets bounds the requests of a probe.
const maxAssets = 20

// pageAssets are the scripts and style sheets that a page loads from its own server, in their order, each once.
func pageAssets(page *url.URL, text []byte) []*url.URL {
	var (
		found []*url.URL
		seen  = map[string]bool{}
		base  = page
		z     = html.NewTokenizer(bytes.NewReader(text))
	)
	for len(found) < maxAssets {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		token := z.Token()
		if href := attribute(token, "href"); token.DataAtom == atom.Base && href != "" {
			if u, err := base.Parse(href); err == nil {
				base = u
			}
		}
		u := local(page, base, assetOf(token))
		if u != nil && !seen[u.String()] {
			seen[u.String()] = true
			found = append(found, u)
		}
	}
	return found
}

// assetOf is what a tag loads as a script or style sheet, "" for any other.
func assetOf(t html.Token) string {
	switch t.DataAtom {
	case atom.Script:
		return attribute(t, "src")
	case atom.Link:
		if slices.Contains(strings.Fields(strings.ToLower(attribute(t, "rel"))), "stylesheet") {
			return attribute(t, "href")
		}
	}
	return ""
}

// local resolves a reference; nil when it leads to another server or is none.
func local(page, base *url.URL, ref string) *url.URL {
	if strings.TrimSpace(ref) == "" {
		return nil
	}
	u, err := base.Parse(strings.TrimSpace(ref))
	if err != nil || u.Scheme != page.Scheme || u.Host != page.Host {
		return nil
	}
	u.Fragment = ""
	return u
}

func attribute(t html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
