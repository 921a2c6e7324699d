package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"git.tx1138.com/lfg2025/archy/internal/secrets"
)

func rpcauthCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rpcauth",
		Short: "print an rpcauth line for bitcoin.conf",
		Long: `rpcauth prints a line for bitcoin.conf, in the form of Bitcoin Core's rpcauth.py, that lets
user archipelago in with the password of the secret bitcoin-rpc-password. It holds a
salted hash, not the password. archy writes its own line by itself; this one is for
another node.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := openEnv(cmd)
			if err != nil {
				return err
			}
			password, err := e.secrets().Read("bitcoin-rpc-password")
			if err != nil {
				return err
			}
			line, err := secrets.RPCAuthLine(secrets.RPCUser, password, rand.Reader)
			if err != nil {
				return err
			}
			if e.json {
				return json.NewEncoder(e.out).Encode(map[string]any{"schema": 1, "line": line})
			}
			_, err = fmt.Fprintln(e.out, line)
			return err
		},
	}
}
