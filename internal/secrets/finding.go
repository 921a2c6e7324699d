package secrets

import (
	"errors"
	"fmt"
)

// Code names a kind of finding; it is stable, for scripts.
type Code string

// The findings about the directory and about a secret file.
const (
	DirMissing  Code = "dir-missing"
	DirMode     Code = "dir-mode"
	DirOwner    Code = "dir-owner"
	DirNotDir   Code = "dir-not-directory"
	BadName     Code = "bad-name"
	Missing     Code = "missing"
	Empty       Code = "empty"
	Mode        Code = "mode"
	Owner       Code = "owner"
	Newline     Code = "newline"
	Lines       Code = "lines"
	Symlink     Code = "symlink"
	NotRegular  Code = "not-regular"
	Unreadable  Code = "unreadable"
	TooLarge    Code = "too-large"
	NotAHash    Code = "not-a-hash"
	PlainAbsent Code = "plain-missing"
	PlainOther  Code = "plain-mismatch"
	Unfinished  Code = "rotation-unfinished"
)

// Finding is one thing that is wrong with a secret file or with the directory. It is an error too: reading a secret
// fails with it. It never holds the value.
type Finding struct {
	Code   Code   `json:"code"`
	Name   string `json:"name,omitempty"` // the secret; empty for the directory
	Path   string `json:"path"`
	Detail string `json:"detail"` // what was seen
	Repair string `json:"repair"` // what to do
}

// Error is the finding in one line with its hint.
func (f Finding) Error() string {
	text := fmt.Sprintf("%s: %s", f.Path, f.Detail)
	if f.Repair != "" {
		text += fmt.Sprintf(" (hint: %s)", f.Repair)
	}
	return text
}

// Fixable reports whether Repair can mend it: only modes and owners, never content.
func (f Finding) Fixable() bool {
	switch f.Code {
	case Mode, Owner, DirMode, DirOwner:
		return true
	}
	return false
}

// Is makes errors.Is match any finding of the same code: errors.Is(err, Finding{Code: secrets.Missing}).
func (f Finding) Is(target error) bool {
	var other Finding
	return errors.As(target, &other) && other.Code == f.Code
}

// IsMissing reports whether err says that a secret is absent or empty, which archy treats alike.
func IsMissing(err error) bool {
	var f Finding
	return errors.As(err, &f) && (f.Code == Missing || f.Code == Empty)
}
