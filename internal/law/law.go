// Package law proves the rules of the house as tests: which package may import which, no init, no package variable that
// changes, no any in an exported signature, a package doc everywhere, components that export Kind and Settings alone,
// files that can be read in one go, no sleeping, no "failed to". There is nothing in it but tests.
package law
