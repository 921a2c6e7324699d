package systemd

import (
	"context"
	"errors"
	"strings"

	godbus "github.com/godbus/dbus/v5"
)

// Change is a unit whose ActiveState has changed.
type Change struct{ Unit, ActiveState string }

// errBusClosed is the end of a connection that nobody asked to end.
var errBusClosed = errors.New("the connection was closed")

// Watch hands out the changes of the user manager's units until ctx ends or the bus goes away, over a connection of its
// own; listening is called once, when nothing is missed any more. Its end is an error in any case.
func Watch(ctx context.Context, opts Options, listening func(), change func(Change)) error {
	m, err := Connect(ctx, opts)
	if err != nil {
		return err
	}
	m.Close() // it has shown within its limit that the bus answers
	life, end := context.WithCancel(ctx)
	defer end()
	conn, err := dialBus(life, opts.Bus)
	if err != nil {
		return &BusError{Address: opts.Bus, Cause: err}
	}
	defer conn.Close()
	signals := make(chan *godbus.Signal, 256)
	conn.Signal(signals)
	if err := subscribe(ctx, conn, m.opts.Limits); err != nil {
		return &BusError{Address: opts.Bus, Cause: err}
	}
	listening()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-conn.Context().Done():
			return &BusError{Address: opts.Bus, Cause: errBusClosed}
		case s, ok := <-signals:
			if !ok {
				return &BusError{Address: opts.Bus, Cause: errBusClosed}
			}
			if c, ok := changeOf(s); ok {
				change(c)
			}
		}
	}
}

func subscribe(ctx context.Context, conn *godbus.Conn, limits Limits) error {
	limited, cancel := context.WithTimeout(ctx, limits.Query)
	defer cancel()
	err := conn.AddMatchSignalContext(limited, godbus.WithMatchInterface("org.freedesktop.DBus.Properties"), godbus.WithMatchMember("PropertiesChanged"),
		godbus.WithMatchPathNamespace("/org/freedesktop/systemd1/unit"), godbus.WithMatchArg(0, "org.freedesktop.systemd1.Unit"))
	if err != nil {
		return err
	}
	manager := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	return manager.CallWithContext(limited, "org.freedesktop.systemd1.Manager.Subscribe", 0).Err
}

// changeOf reads a PropertiesChanged of a unit.
func changeOf(s *godbus.Signal) (Change, bool) {
	if s.Name != "org.freedesktop.DBus.Properties.PropertiesChanged" || len(s.Body) < 2 {
		return Change{}, false
	}
	changed, _ := s.Body[1].(map[string]godbus.Variant)
	state, ok := changed["ActiveState"].Value().(string)
	if !ok {
		return Change{}, false
	}
	path := string(s.Path)
	return Change{Unit: unitOfPath(path[strings.LastIndexByte(path, '/')+1:]), ActiveState: state}, true
}

// unitOfPath undoes the escaping of a unit's name in its object path: _2e is a dot.
func unitOfPath(label string) string {
	var b strings.Builder
	for i := 0; i < len(label); i++ {
		if label[i] == '_' && i+2 < len(label) && hexDigit(label[i+1]) >= 0 && hexDigit(label[i+2]) >= 0 {
			b.WriteByte(byte(hexDigit(label[i+1])<<4 | hexDigit(label[i+2])))
			i += 2
			continue
		}
		b.WriteByte(label[i])
	}
	return b.String()
}

func hexDigit(c byte) int { return strings.IndexByte("0123456789abcdef", c) }
