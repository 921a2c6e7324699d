// Command backend stands in for the node's backend: it answers /rpc/v1 with its version, or has the fault that it was
// linked with.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

// version and fault are set by the linker. The fault "exit" ends the program at once.
var version, fault string

func main() {
	if fault == "exit" {
		fmt.Fprintln(os.Stderr, "made to fail")
		os.Exit(1)
	}
	http.HandleFunc("POST /rpc/v1", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "{\"version\":%q}\n", version)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:5678", nil))
}
