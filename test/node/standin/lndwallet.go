package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// wallet is LND's: wallet.db holds a digest of the password, and a macaroon appears when it is made.
type wallet struct {
	dir string

	mu   sync.Mutex
	open bool
}

func (w *wallet) file() string { return filepath.Join(w.dir, "wallet.db") }

// openWithFile is wallet-unlock-password-file; no wallet yet is no error.
func (w *wallet) openWithFile(file string) error {
	if file == "" {
		return nil
	}
	password, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if w.state() == "NON_EXISTING" {
		return nil
	}
	return w.unlock(strings.TrimRight(string(password), "\r\n"))
}

// state is one of LND's names for it: https://lightning.engineering/api-docs/api/lnd/state/get-state/
func (w *wallet) state() string {
	if _, err := os.Stat(w.file()); err != nil {
		return "NON_EXISTING"
	}
	if !w.open {
		return "LOCKED"
	}
	return "SERVER_ACTIVE"
}

func (w *wallet) create(password string) error {
	if w.state() != "NON_EXISTING" {
		return errors.New("wallet already exists")
	}
	if len(password) < 8 {
		return errors.New("password must have at least 8 characters")
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "admin.macaroon"), []byte(rand.Text()), 0o640); err != nil {
		return err
	}
	w.open = true
	return os.WriteFile(w.file(), []byte(digest(password)), 0o600)
}

func (w *wallet) unlock(password string) error {
	want, err := os.ReadFile(w.file())
	if err != nil {
		return errors.New("wallet not found")
	}
	if string(want) != digest(password) {
		return errors.New("invalid passphrase for master public key")
	}
	w.open = true
	return nil
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ServeHTTP is the part of LND's REST that needs no macaroon.
func (w *wallet) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var req struct {
		Password []byte   `json:"wallet_password"` // base64 in JSON
		Words    []string `json:"cipher_seed_mnemonic"`
	}
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			answer(rw, nil, err)
			return
		}
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /v1/state":
		answer(rw, map[string]any{"state": w.state()}, nil)
	case "GET /v1/genseed":
		answer(rw, map[string]any{"cipher_seed_mnemonic": seed()}, nil)
	case "POST /v1/initwallet":
		if len(req.Words) != 24 {
			answer(rw, nil, errors.New("wrong number of seed words"))
			return
		}
		answer(rw, map[string]any{}, w.create(string(req.Password)))
	case "POST /v1/unlockwallet":
		answer(rw, map[string]any{}, w.unlock(string(req.Password)))
	default:
		rw.WriteHeader(http.StatusNotFound)
	}
}

func seed() []string {
	words := make([]string, 24)
	for i := range words {
		words[i] = strings.ToLower(rand.Text()[:6])
	}
	return words
}

func answer(rw http.ResponseWriter, v map[string]any, err error) {
	rw.Header().Set("Content-Type", "application/json")
	if err != nil {
		rw.WriteHeader(http.StatusInternalServerError)
		v = map[string]any{"code": 2, "message": err.Error()}
	}
	_ = json.NewEncoder(rw).Encode(v)
}
