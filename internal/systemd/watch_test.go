package systemd

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	godbus "github.com/godbus/dbus/v5"
	"go.uber.org/goleak"
)

func TestChangeOf(t *testing.T) {
	signal := func(path string, changed map[string]godbus.Variant) *godbus.Signal {
		return &godbus.Signal{Name: "org.freedesktop.DBus.Properties.PropertiesChanged", Path: godbus.ObjectPath(path),
			Body: []any{"org.freedesktop.systemd1.Unit", changed, []string{}}}
	}
	const unit = "/org/freedesktop/systemd1/unit/archy_2dmempool_2ddb_2eservice"
	got, ok := changeOf(signal(unit, map[string]godbus.Variant{"ActiveState": godbus.MakeVariant("failed"), "Job": godbus.MakeVariant(1)}))
	if !ok || got != (Change{"archy-mempool-db.service", "failed"}) {
		t.Errorf("%+v %v", got, ok)
	}
	for name, s := range map[string]*godbus.Signal{
		"another property": signal(unit, map[string]godbus.Variant{"Job": godbus.MakeVariant(1)}),
		"no text":          signal(unit, map[string]godbus.Variant{"ActiveState": godbus.MakeVariant(7)}),
		"another signal":   {Name: "org.freedesktop.systemd1.Manager.UnitNew", Body: []any{"a", "b"}},
		"nothing in it":    {Name: "org.freedesktop.DBus.Properties.PropertiesChanged"},
	} {
		if got, ok := changeOf(s); ok {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for label, want := range map[string]string{"lnd_2eservice": "lnd.service", "a_zz": "a_zz", "a_2": "a_2", "_5f": "_"} {
		if got := unitOfPath(label); got != want {
			t.Errorf("%s: %s, want %s", label, got, want)
		}
	}
}

func TestWatchWithoutABus(t *testing.T) {
	defer goleak.VerifyNone(t)
	err := Watch(context.Background(), Options{Bus: filepath.Join(t.TempDir(), "bus")}, func() { t.Error("listening") }, func(Change) {})
	if !errors.Is(err, ErrNoUserBus) {
		t.Errorf("error %v", err)
	}
}
