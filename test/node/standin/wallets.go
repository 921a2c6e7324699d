package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// wallets are bitcoind's: a directory each below wallets/, and those to load at start in settings.json.
type wallets struct {
	dir string

	mu     sync.Mutex
	loaded []string
}

func (w *wallets) open(dataDir string) {
	w.dir = dataDir
	w.loaded = w.atStart()
}

func (w *wallets) call(method string, p args) (any, *rpcError) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch method {
	case "listwallets":
		return append([]string{}, w.loaded...), nil
	case "listwalletdir":
		list := []map[string]string{}
		for _, name := range w.onDisk() {
			list = append(list, map[string]string{"name": name})
		}
		return map[string]any{"wallets": list}, nil
	case "createwallet":
		return w.create(p.text(0, "wallet_name"), p.is(6, "load_on_startup"))
	case "loadwallet":
		return w.load(p.text(0, "filename"), p.is(1, "load_on_startup"))
	}
	return nil, &rpcError{-32601, "Method not found"}
}

func (w *wallets) create(name string, atStart bool) (any, *rpcError) {
	if slices.Contains(w.onDisk(), name) {
		return nil, &rpcError{-4, "Wallet file verification failed. Failed to create database path. Database already exists."}
	}
	if err := os.MkdirAll(filepath.Join(w.dir, "wallets", name), 0o700); err != nil {
		return nil, &rpcError{-4, err.Error()}
	}
	if err := os.WriteFile(filepath.Join(w.dir, "wallets", name, "wallet.dat"), []byte("stand-in\n"), 0o600); err != nil {
		return nil, &rpcError{-4, err.Error()}
	}
	return w.use(name, atStart)
}

func (w *wallets) load(name string, atStart bool) (any, *rpcError) {
	if slices.Contains(w.loaded, name) {
		return nil, &rpcError{-35, `Wallet "` + name + `" is already loaded.`}
	}
	if !slices.Contains(w.onDisk(), name) {
		return nil, &rpcError{-18, "Wallet file verification failed. Failed to load database path. Path does not exist."}
	}
	return w.use(name, atStart)
}

func (w *wallets) use(name string, atStart bool) (any, *rpcError) {
	w.loaded = append(w.loaded, name)
	if atStart {
		text, _ := json.Marshal(map[string]any{"wallet": append(w.atStart(), name)})
		if err := os.WriteFile(filepath.Join(w.dir, "settings.json"), text, 0o600); err != nil {
			return nil, &rpcError{-4, err.Error()}
		}
	}
	return map[string]any{"name": name}, nil
}

func (w *wallets) atStart() []string {
	var settings struct {
		Wallet []string `json:"wallet"`
	}
	text, _ := os.ReadFile(filepath.Join(w.dir, "settings.json"))
	_ = json.Unmarshal(text, &settings)
	return settings.Wallet
}

func (w *wallets) onDisk() []string {
	var names []string
	entries, _ := os.ReadDir(filepath.Join(w.dir, "wallets"))
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// args are the parameters of a call, by position or by name.
type args struct {
	list  []any
	named map[string]any
}

func params(raw json.RawMessage) (a args) {
	if json.Unmarshal(raw, &a.list) != nil {
		_ = json.Unmarshal(raw, &a.named)
	}
	return a
}

func (a args) get(i int, name string) any {
	if i < len(a.list) {
		return a.list[i]
	}
	return a.named[name]
}

func (a args) text(i int, name string) string {
	s, _ := a.get(i, name).(string)
	return s
}

func (a args) is(i int, name string) bool {
	b, _ := a.get(i, name).(bool)
	return b
}
