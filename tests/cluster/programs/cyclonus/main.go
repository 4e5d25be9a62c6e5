// Runs Cyclonus, and is the worker in its pods: one program, so that one module pins both.
package main

import (
	"os"
	"path/filepath"
)

func main() {
	if filepath.Base(os.Args[0]) == "worker" {
		work()
		return
	}
	run()
}
