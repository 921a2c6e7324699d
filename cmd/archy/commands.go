package main

import "github.com/spf13/cobra"

// commands are all commands of the program.
func (c *cli) commands() []*cobra.Command {
	return append(verbCmds(),
		firstBootCmd(),
		statusCmd(),
		reconcileCmd(),
		adoptCmd(),
		appsCmd(),
		secretsCmd(),
		releaseCmd(),
		updateCmd(),
		lndCmd(),
		podmanCmd(),
		specCmd(),
		isoCmd(),
		versionCmd(),
		internalCmd(),
	)
}
