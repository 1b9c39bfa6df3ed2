package main

import (
	"os"
	"runtime"
)

// Set by the linker: -X main.version=...
var version = "unset"

func main() {
	os.Stdout.WriteString("stamp " + version + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n")
}
