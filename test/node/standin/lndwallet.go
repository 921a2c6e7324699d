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

// wallet is LND's: wallet.db holds digests of the password and of the seed's words, and a macaroon appears when it is made.
type wallet struct {
	dir string

	mu   sync.Mutex
	open bool
}

func (w *wallet) file() string { return filepath.Join(w.dir, "wallet.db") }

// openWithFile is wallet-unlock-password-file; no wallet yet is an error unless one may be made (wallet-unlock-allow-create).
func (w *wallet) openWithFile(file string, mayBeMade bool) error {
	if file == "" {
		return nil
	}
	password, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if w.state() == "NON_EXISTING" {
		if !mayBeMade {
			return errors.New("wallet unlock password file was specified but wallet does not exist; initialize the wallet before using auto unlocking")
		}
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

func (w *wallet) create(password string, words []string) error {
	if w.state() != "NON_EXISTING" {
		return errors.New("wallet already exists")
	}
	if len(password) < 8 {
		return errors.New("password must have at least 8 characters")
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	text := digest(password) + "\n" + digest(strings.Join(words, " ")) + "\n"
	if err := os.WriteFile(w.file(), []byte(text), 0o600); err != nil {
		return err
	}
	w.open = true
	return os.WriteFile(w.macaroon(), []byte(rand.Text()), 0o640)
}

func (w *wallet) macaroon() string { return filepath.Join(w.dir, "admin.macaroon") }

func (w *wallet) unlock(password string) error {
	want, err := os.ReadFile(w.file())
	if err != nil {
		return errors.New("wallet not found")
	}
	if w.open {
		return errors.New("wallet already unlocked, WalletUnlocker service is no longer available")
	}
	if line, _, _ := strings.Cut(string(want), "\n"); line != digest(password) {
		return errors.New("invalid passphrase for master public key")
	}
	w.open = true
	return nil
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// ServeHTTP is the part of LND's REST that needs no macaroon, and getinfo, which does.
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
		if w.state() != "NON_EXISTING" {
			answer(rw, nil, errors.New("wallet already exists"))
			return
		}
		answer(rw, map[string]any{"cipher_seed_mnemonic": seed()}, nil)
	case "GET /v1/getinfo":
		if err := w.admits(r.Header.Get("Grpc-Metadata-Macaroon")); err != nil {
			answer(rw, nil, err)
			return
		}
		answer(rw, map[string]any{"version": "0.18.4-beta", "alias": "stand-in"}, nil)
	case "POST /v1/initwallet":
		if len(req.Words) != 24 {
			answer(rw, nil, errors.New("wrong number of seed words"))
			return
		}
		answer(rw, map[string]any{}, w.create(string(req.Password), req.Words))
	case "POST /v1/unlockwallet":
		answer(rw, map[string]any{}, w.unlock(string(req.Password)))
	default:
		rw.WriteHeader(http.StatusNotFound)
	}
}

// admits checks the macaroon of a request.
func (w *wallet) admits(macaroon string) error {
	want, err := os.ReadFile(w.macaroon())
	switch {
	case !w.open:
		return errors.New("wallet locked, unlock it to enable full RPC access")
	case err != nil || macaroon != hex.EncodeToString(want):
		return errors.New("verification failed: signature mismatch after caveat verification")
	}
	return nil
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
