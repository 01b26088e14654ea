// Package processes holds the tests that run the suite as its users and operators do: real binaries from bin/, one process or six, killed and
// restarted, and the page in a real browser. `make build` and `make python` come before; scripts/test.sh runs them by the build
// tags integration and browser.
package processes
