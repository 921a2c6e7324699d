package release

import (
	"bytes"
	"net/url"
	"path"
	"strings"

	"golang.org/x/net/html"
)

// assetsOf lists the scripts and style sheets of its own site that a page names, as paths below the page's directory.
// A page that names one which is not there is blank.
func assetsOf(page []byte) []string {
	z := html.NewTokenizer(bytes.NewReader(page))
	z.SetMaxBuf(maxText)
	var list []string
	for len(list) < maxAssets {
		switch z.Next() {
		case html.ErrorToken:
			return list
		case html.StartTagToken, html.SelfClosingTagToken:
			if name, ok := localPath(referenced(z.Token())); ok {
				list = append(list, name)
			}
		}
	}
	return list
}

// referenced is the script or style sheet that a tag loads, "" for none.
func referenced(tag html.Token) string {
	attr := map[string]string{}
	for _, a := range tag.Attr {
		attr[a.Key] = a.Val
	}
	switch tag.Data {
	case "script":
		return attr["src"]
	case "link":
		for _, rel := range strings.Fields(strings.ToLower(attr["rel"])) {
			if rel == "stylesheet" || rel == "modulepreload" {
				return attr["href"]
			}
		}
	}
	return ""
}

// localPath is the file below the site that a reference leads to; ok is false when it leads elsewhere.
func localPath(ref string) (name string, ok bool) {
	u, err := url.Parse(strings.TrimSpace(ref))
	if err != nil || u.Scheme != "" || u.Host != "" || u.Path == "" {
		return "", false
	}
	name = strings.TrimPrefix(path.Clean("/"+u.Path), "/")
	return name, name != ""
}
