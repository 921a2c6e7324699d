package main

import "github.com/spf13/cobra"

// commands are all commands of the program.
func (c *cli) commands() []*cobra.Command {
	return []*cobra.Command{
		statusCmd(),
		reconcileCmd(),
		adoptCmd(),
		appsCmd(),
		secretsCmd(),
		specCmd(),
		isoCmd(),
		versionCmd(),
		internalCmd(),
	}
}
