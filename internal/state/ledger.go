package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Image is one image that archy pulled, loaded or built; only these may ever be pruned.
type Image struct {
	Ref string    `json:"ref"`
	ID  string    `json:"id"`
	App string    `json:"app"`
	At  time.Time `json:"at"`
}

// Ledger lists the images that archy brought to the node: state/images.json.
type Ledger struct {
	Schema int     `json:"schema"`
	Images []Image `json:"images"`
}

// Add notes an image, in place of an older entry of the same reference and id.
func (l *Ledger) Add(i Image) {
	l.Images = slices.DeleteFunc(l.Images, func(o Image) bool { return o.Ref == i.Ref && o.ID == i.ID })
	l.Images = append(l.Images, i)
	slices.SortStableFunc(l.Images, func(a, b Image) int { return cmp.Compare(a.Ref, b.Ref) })
}

// Drop forgets an image.
func (l *Ledger) Drop(ref, id string) {
	l.Images = slices.DeleteFunc(l.Images, func(o Image) bool { return o.Ref == ref && o.ID == id })
}

// ReadLedger reads the image ledger; an absent one is empty.
func (s *Store) ReadLedger() (Ledger, error) {
	var l Ledger
	if _, err := s.read(s.layout.State("images.json"), &l); err != nil {
		return Ledger{}, err
	}
	return l, nil
}

// AddImage notes an image in the ledger. Apps that are worked on side by side may call it at once. A ledger that cannot be understood is kept
// aside for it, and the warning says so.
func (s *Store) AddImage(i Image) (warning string, err error) {
	unread, err := s.changeLedger(func(l *Ledger) { l.Add(i) })
	if err != nil || unread == nil {
		return "", err
	}
	return fmt.Sprintf("%v; it is renamed to end in .unreadable-<UTC time>, and archy prune leaves the images that it named", unread), nil
}

// DropImage takes an image that was removed out of the ledger.
func (s *Store) DropImage(ref, id string) error {
	_, err := s.changeLedger(func(l *Ledger) { l.Drop(ref, id) })
	return err
}

// KeepLedgerAside makes room for a new ledger where reading it gave err: what is damaged is renamed. What a newer archy wrote is left to that one,
// as long as nothing has to be written in its place.
func (s *Store) KeepLedgerAside(err error) error {
	var p Problem
	if !errors.As(err, &p) {
		return err
	}
	if !p.Damaged() {
		return p.Err
	}
	s.ledger.Lock()
	defer s.ledger.Unlock()
	return s.moveAside(s.layout.State("images.json"))
}

// changeLedger tells as unread why the ledger that was there could not be changed, and is kept aside.
func (s *Store) changeLedger(change func(*Ledger)) (unread, err error) {
	s.ledger.Lock()
	defer s.ledger.Unlock()
	path := s.layout.State("images.json")
	l, unread := s.ReadLedger()
	if err := s.replaceable(path, unread); err != nil {
		return nil, err
	}
	l.Schema = Schema
	change(&l)
	return unread, s.writeJSON(path, l)
}
