package main

import "github.com/spf13/cobra"

// The app of the lnd commands, and the ports inside its container and that of bitcoin.
const (
	lndApp   = "lnd"
	restPort = 8080
	grpcPort = 10009
	rpcPort  = 8332
)

func lndCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "lnd", GroupID: groupApps, Short: "connect to the Lightning node"}
	onlyCommands(cmd)
	cmd.AddCommand(lndConnectCmd())
	return cmd
}
