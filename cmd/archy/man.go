package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manPages are the manual pages of all commands that a person may call, by file name.
func manPages(root *cobra.Command) map[string][]byte {
	pages := map[string][]byte{}
	eachCommand(root, func(cmd *cobra.Command) {
		if documented(cmd) {
			cmd.InitDefaultHelpFlag()
			pages[pageName(cmd)+".1"] = manPage(cmd)
		}
	})
	return pages
}

// documented leaves out help, the shells below completion, and what is hidden or part of something hidden.
func documented(cmd *cobra.Command) bool {
	if cmd.Name() == "help" || cmd.HasParent() && cmd.Parent().Name() == "completion" {
		return false
	}
	for ; cmd != nil; cmd = cmd.Parent() {
		if cmd.Hidden {
			return false
		}
	}
	return true
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is the page of a command in the man macros, see man(7).
func manPage(cmd *cobra.Command) []byte {
	var p page
	name := pageName(cmd)
	fmt.Fprintf(&p, ".TH %q 1 \"\" %q \"archy\"\n.nh\n", strings.ToUpper(name), "archy "+version)
	p.section("NAME")
	fmt.Fprintf(&p, "%s \\- %s\n", roff(name), roff(cmd.Short))
	p.section("SYNOPSIS")
	fmt.Fprintf(&p, "\\fB%s\\fR%s\n", roff(cmd.CommandPath()), roff(strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath())))
	if cmd.Long != "" {
		p.section("DESCRIPTION")
		p.paragraphs(cmd.Long)
	}
	p.commands(cmd)
	p.flags("OPTIONS", cmd.NonInheritedFlags())
	p.flags("GLOBAL OPTIONS", cmd.InheritedFlags())
	if cmd.Example != "" {
		p.section("EXAMPLES")
		p.verbatim(cmd.Example)
	}
	p.section("EXIT STATUS")
	for _, e := range exitMeanings {
		p.tagged(fmt.Sprint(e.code), e.text)
	}
	p.seeAlso(cmd)
	return p.Bytes()
}

// exitMeanings are the exit codes in words.
var exitMeanings = []struct {
	code int
	text string
}{
	{exitOK, "it is as it should be, or is now"},
	{exitFailed, "nothing could be done"},
	{exitUsage, "the command line, the configuration or a manifest is wrong, or this is the wrong user"},
	{exitPartial, "some apps failed, the rest was done"},
	{exitDrift, "something differs, where that was asked"},
	{exitLocked, "another run holds the lock"},
	{exitHuman, "somebody has to decide"},
	{exitInterrupted, "it was interrupted"},
}

// page is the text of a manual page.
type page struct{ bytes.Buffer }

func (p *page) section(title string) { fmt.Fprintf(p, ".SH %s\n", title) }

func (p *page) tagged(tag, text string) {
	fmt.Fprintf(p, ".TP\n\\fB%s\\fR\n%s\n", roff(tag), roff(text))
}

// paragraphs fills running text; a paragraph that is indented stays as it is.
func (p *page) paragraphs(text string) {
	for i, para := range strings.Split(strings.TrimSpace(text), "\n\n") {
		switch {
		case strings.HasPrefix(para, " "):
			p.verbatim(para)
		case i > 0:
			fmt.Fprintf(p, ".PP\n%s\n", roff(para))
		default:
			fmt.Fprintf(p, "%s\n", roff(para))
		}
	}
}

func (p *page) verbatim(text string) {
	fmt.Fprintf(p, ".PP\n.nf\n.RS 0\n%s\n.RE\n.fi\n", roff(strings.TrimRight(text, "\n")))
}

func (p *page) commands(cmd *cobra.Command) {
	begun := false
	for _, sub := range cmd.Commands() {
		if !documented(sub) {
			continue
		}
		if !begun {
			p.section("COMMANDS")
			begun = true
		}
		p.tagged(sub.Name(), sub.Short)
	}
}

func (p *page) flags(title string, set *pflag.FlagSet) {
	begun := false
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if !begun {
			p.section(title)
			begun = true
		}
		p.tagged(flagTag(f))
	})
}

// flagTag is a flag with its value as in the help, and its text.
func flagTag(f *pflag.Flag) (tag, text string) {
	value, text := pflag.UnquoteUsage(f)
	tag = "--" + f.Name
	if f.Shorthand != "" {
		tag = "-" + f.Shorthand + ", " + tag
	}
	if value != "" {
		tag += " " + value
	}
	return tag, text
}

func (p *page) seeAlso(cmd *cobra.Command) {
	var names []string
	if cmd.HasParent() {
		names = append(names, pageName(cmd.Parent()))
	}
	for _, sub := range cmd.Commands() {
		if documented(sub) {
			names = append(names, pageName(sub))
		}
	}
	if len(names) == 0 {
		return
	}
	p.section("SEE ALSO")
	for i, name := range names {
		names[i] = "\\fB" + roff(name) + "\\fR(1)"
	}
	fmt.Fprintln(p, strings.Join(names, ",\n"))
}

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")

// roff keeps text from being read as a request or an escape.
func roff(text string) string {
	text = roffEscapes.Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
