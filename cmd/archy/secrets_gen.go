package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/reconcile"
	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

func secretsGenCmd() *cobra.Command {
	var wait secretsWait
	cmd := &cobra.Command{
		Use:   "gen [NAME...]",
		Short: "make the secrets that are missing",
		Long: `gen makes the secrets that every node has and those of the installed apps, or the named
ones. What exists is never overwritten. A password that the data of an app holds too
is not made anew: the app would be locked out of its data.`,
		ValidArgsFunction: completeSecrets,
		RunE: func(cmd *cobra.Command, names []string) error {
			e, unlock, err := wait.open(cmd)
			if err != nil {
				return err
			}
			defer unlock()
			made, err := e.generate(names)
			return errors.Join(e.printMade(made), err)
		},
	}
	wait.flag(cmd)
	return cmd
}

// generate makes the missing secrets among names, or among all that are wanted, and returns what it made.
func (e *env) generate(names []string) (made []string, err error) {
	wanted, err := e.choose(names)
	if err != nil {
		return nil, err
	}
	store := e.secrets()
	if err := store.Init(); err != nil {
		return nil, err
	}
	var errs []error
	for _, w := range wanted {
		created, err := e.generateOne(store, w)
		if err != nil {
			errs = append(errs, err)
		}
		if created {
			made = append(made, w.Name)
		}
	}
	return made, errors.Join(errs...)
}

func (e *env) generateOne(store *secrets.Store, w secrets.Wanted) (created bool, err error) {
	if !w.Kind.Generated() {
		return false, nil
	}
	if _, err := store.Read(w.Name); secrets.IsMissing(err) {
		if ok, why := secrets.GenerationRule(w.Name, e.dataPresent(w.Apps)); !ok {
			return false, &exitError{exitHuman, "secret", errors.New(why), ""}
		}
	}
	_, created, err = store.Generate(w.Name, w.Kind)
	return created, err
}

// choose are the named secrets, or all that are wanted, in the order of their names.
func (e *env) choose(names []string) ([]secrets.Wanted, error) {
	if len(names) == 0 {
		byName := merged(e.wanted(false))
		names = sortedKeys(byName)
	}
	byName := merged(e.wanted(true))
	var list []secrets.Wanted
	for _, name := range names {
		w, ok := byName[name]
		if !ok {
			return nil, usage("archy secrets list", "no app reads a secret called %q", name)
		}
		list = append(list, w)
	}
	return list, nil
}

// completeSecrets completes the names of secrets that archy makes.
func completeSecrets(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	e, err := openEnv(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	e.loadManifests()
	byName := merged(e.wanted(true))
	names := slices.DeleteFunc(sortedKeys(byName), func(name string) bool { return !byName[name].Kind.Generated() || slices.Contains(given, name) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// dataPresent tells whether one of the apps has data already.
func (e *env) dataPresent(ids []string) bool {
	records, _ := e.State.ReadRecords()
	return reconcile.DataPresent(e.Set, records, e.Layout, ids)
}

func (e *env) printMade(made []string) error {
	if e.json {
		if made == nil {
			made = []string{}
		}
		return json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "made": made})
	}
	for _, name := range made {
		fmt.Fprintln(e.out, "made "+name)
	}
	return nil
}

func secretsRotateCmd() *cobra.Command {
	var wait secretsWait
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "replace a secret by a new value",
		Long: `rotate makes a new value and keeps the old one as NAME.bak-<time>. Only secrets that
their apps read at every start can be rotated; for the others archy says what to do
instead. The readers get the new value in the next pass, and restart once.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, unlock, err := wait.open(cmd)
			if err != nil {
				return err
			}
			defer unlock()
			return e.rotate(args[0])
		},
	}
	wait.flag(cmd)
	return cmd
}

func (e *env) rotate(name string) error {
	chosen, err := e.choose([]string{name})
	if err != nil {
		return err
	}
	w := chosen[0]
	data := e.dataPresent(w.Apps)
	if ok, why := secrets.RotationRuleFor(name, data); !ok {
		return &exitError{exitUsage, "secret", errors.New(why), ""}
	}
	_, backups, err := e.secrets().Rotate(name, w.Kind, data)
	if err != nil {
		return err
	}
	if e.json {
		return json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "rotated": name, "backups": backups, "readers": w.Apps})
	}
	fmt.Fprintf(e.out, "rotated %s, the old value is %s\n", name, strings.Join(backups, " "))
	e.say("hint: archy reconcile gives it to %s", strings.Join(w.Apps, " "))
	return nil
}
