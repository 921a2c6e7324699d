package state

import (
	"cmp"
	"errors"
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

// AddImage notes an image in the ledger. Apps that are worked on side by side may call it at once.
func (s *Store) AddImage(i Image) error { return s.changeLedger(func(l *Ledger) { l.Add(i) }) }

// DropImage takes an image that was removed out of the ledger.
func (s *Store) DropImage(ref, id string) error {
	return s.changeLedger(func(l *Ledger) { l.Drop(ref, id) })
}

// KeepLedgerAside makes room for a new ledger where reading it gave err: what is damaged is renamed. What a newer archy wrote is left to that one,
// as long as nothing has to be written in its place.
func (s *Store) KeepLedgerAside(err error) error {
	var p Problem
	if errors.As(err, &p) && !p.Damaged() {
		return p.Err
	}
	s.ledger.Lock()
	defer s.ledger.Unlock()
	return s.replaceable(s.layout.State("images.json"), err)
}

func (s *Store) changeLedger(change func(*Ledger)) error {
	s.ledger.Lock()
	defer s.ledger.Unlock()
	path := s.layout.State("images.json")
	l, err := s.ReadLedger()
	if err := s.replaceable(path, err); err != nil {
		return err
	}
	l.Schema = Schema
	change(&l)
	return s.writeJSON(path, l)
}
