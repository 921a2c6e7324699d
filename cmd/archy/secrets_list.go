package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

func secretsListCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the secrets, without their values",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			e.loadManifests()
			list, err := e.secrets().List(e.wanted(false))
			if err != nil {
				return err
			}
			if e.json {
				return json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "secrets": list})
			}
			return e.table(secrets.ListHeader, secrets.ListRows(list))
		},
	}
}

func secretsCheckCmd() *cobra.Command {
	var fix, plain bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "check that every secret is there, readable and private",
		Long: `check looks at the directory and at every secret that the installed apps read. It ends
with 1 when something is wrong and is silent otherwise. --fix mends modes and owners,
never a content.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			e.loadManifests()
			found := e.checkSecrets(plain)
			if fix {
				if found, err = e.fixSecrets(found); err != nil {
					return err
				}
			}
			return e.printSecretFindings(found)
		},
	}
	cmd.Flags().BoolVar(&fix, "fix", false, "mend modes and owners")
	cmd.Flags().BoolVar(&plain, "plain", false, "also compare hashes with their plain text (slow)")
	return cmd
}

func (e *env) checkSecrets(plain bool) []secrets.Finding {
	wanted := e.wanted(false)
	found := e.secrets().Check(wanted)
	if plain {
		found = append(found, e.secrets().CheckPlain(wanted)...)
	}
	byName := merged(wanted)
	for i, f := range found {
		if w, ok := byName[f.Name]; ok && strings.HasSuffix(f.Repair, secretsGen) {
			found[i].Repair = strings.TrimSuffix(f.Repair, secretsGen) + e.comesBy(w)
		}
	}
	return found
}

const secretsGen = "archy secrets gen"

// comesBy is how a secret comes by a value: archy makes no text of the operator's, and none anew that data hold.
func (e *env) comesBy(w secrets.Wanted) string {
	path := e.secrets().Path(w.Name)
	if !w.Kind.Generated() {
		return "put the value into " + path + ", mode 0600"
	}
	if ok, _ := secrets.GenerationRule(w.Name, e.dataPresent(w.Apps)); !ok {
		return "put the old value back into " + path + ", mode 0600, from a backup or from the container that still has it"
	}
	return secretsGen
}

// fixSecrets mends what can be mended and returns the rest.
func (e *env) fixSecrets(found []secrets.Finding) (left []secrets.Finding, err error) {
	for _, f := range found {
		if !f.Fixable() {
			left = append(left, f)
			continue
		}
		if err := e.secrets().Repair(f); err != nil {
			return found, err
		}
		e.say("mended %s: it %s", f.Path, f.Detail)
	}
	return left, nil
}

func (e *env) printSecretFindings(found []secrets.Finding) error {
	code := exitOK
	if len(found) > 0 {
		code = exitFailed
	}
	if e.json {
		if found == nil {
			found = []secrets.Finding{}
		}
		if err := json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "findings": found, "exit_code": code}); err != nil {
			return err
		}
		return exitCode(code)
	}
	if len(found) > 0 {
		if err := e.table(secrets.CheckHeader, secrets.CheckRows(found)); err != nil {
			return err
		}
	}
	return exitCode(code)
}

// say talks on stderr, unless told to be quiet.
func (c *cli) say(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.err, format+"\n", args...)
	}
}
