package reconcile

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
	"git.tx1138.com/lfg2025/archy/internal/spec"
)

// Kind is what an operation does; its text is what a plan prints.
type Kind string

// The operations of a plan.
const (
	Adopt          Kind = "adopt"
	MakeDirectory  Kind = "make directory"
	WriteSecret    Kind = "write secret"
	WriteFile      Kind = "write file"
	SetSecret      Kind = "set secret"
	CreateNetwork  Kind = "create network"
	PullImage      Kind = "pull image"
	BuildImage     Kind = "build image"
	WriteUnit      Kind = "write unit"
	RemoveUnit     Kind = "remove unit"
	Reload         Kind = "reload"
	Start          Kind = "start"
	Restart        Kind = "restart"
	Replace        Kind = "replace"
	Stop           Kind = "stop"
	Unpause        Kind = "unpause"
	StartLegacy    Kind = "start in scope"
	Migrate        Kind = "migrate"
	Wait           Kind = "wait"
	RollBack       Kind = "roll back"
	RemoveOld      Kind = "remove old"
	RunHooks       Kind = "run hooks"
	WriteRecord    Kind = "write record"
	RemoveSecret   Kind = "remove secret"
	MoveData       Kind = "move data"
	OpenWallet     Kind = "open"
	DropNames      Kind = "drop names"
	RemoveNetwork  Kind = "remove network"
	RemoveImage    Kind = "remove image"
	Delete         Kind = "delete"
	KeepAside      Kind = "keep aside"
	everyContainer      = "user manager"
	nameServer          = "name server"
)

// Operation is one step of a plan. Its printed form never holds a secret: payloads stay out of it.
type Operation struct {
	// N is the operation's number in its plan, from 1. After names the ones that must have ended before.
	N     int
	After []int

	Kind Kind
	// App is the app's id, "" for what concerns all. Object is what it is done to, Cause why, in words.
	App    string
	Object string
	Cause  string

	// Path, Content, Mode and Owner ("uid:gid", host numbers) are the payload of operations on files.
	Path    string
	Content []byte
	Mode    fs.FileMode
	Owner   string
	// KeepOld saves the file that is replaced as <name>.pre-archy-<time>.
	KeepOld bool
	// Secret is the payload of operations on secrets.
	Secret Secret
	// Network is the payload of CreateNetwork.
	Network Network
	// Dest is where MoveData moves Path to.
	Dest string
	// Gate is what must be true after a start before the operation counts as done.
	Gate *Gate
	// Rolling marks the restart of an app that podman has lost: when one does not come up, the next one is not touched.
	Rolling bool
	// Needs are the conditions of other apps under which a start may happen.
	Needs []Need
}

// Secret is the payload of WriteSecret (Name and Kind of a file) and SetSecret (a podman secret).
type Secret struct {
	Name, Kind string
	Value      secrets.Value
	// Plain is the plain text that belongs to a bcrypt hash.
	Plain secrets.Value
	Label string
	// Take replaces an existing secret by the value of a container that is migrated.
	Take bool
}

// Network is a bridge that containers share.
type Network struct {
	Name, Subnet, Gateway string
	// Stale tells that its unit is missing or differs: the units of all containers on it would not convert.
	Stale bool
}

// Need is another app and the condition in which it must be.
type Need struct{ App, Condition string }

// Gate is a condition that an app must reach within Limit.
type Gate struct {
	Condition string
	Limit     time.Duration
	// Alive tells that another app needs this one to live for some seconds (the condition started), whatever else is asked.
	Alive bool
	// Restarting takes an automatic restart that systemd is about to make as part of the way, not as an end.
	Restarting bool
}

// String is the operation's line in a plan.
func (o Operation) String() string {
	app := o.App
	if app == "" {
		app = "-"
	}
	line := fmt.Sprintf("%3d  %-14s  %-16s  %-40s  %s", o.N, o.Kind, app, o.Object, o.Cause)
	if len(o.After) > 0 {
		line += "  after " + joinInts(o.After)
	}
	return strings.TrimRight(line, " ")
}

func joinInts(list []int) string {
	words := make([]string, len(list))
	for i, n := range list {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, " ")
}

// WantedSecrets are the podman secrets that a container uses, as variables or as files.
func WantedSecrets(c spec.Container) []Secret {
	var list []Secret
	for _, s := range c.Secrets {
		list = append(list, Secret{Name: s.Secret, Value: s.Value, Label: secrets.SecretEnvHash(c.App, map[string]secrets.Value{s.Key: s.Value})})
	}
	for _, m := range c.SecretMounts {
		list = append(list, Secret{Name: m.Secret, Value: m.Value, Label: secrets.SecretEnvHash(c.App, map[string]secrets.Value{m.Target: m.Value})})
	}
	return list
}
