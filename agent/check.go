package agent

import "github.com/sluice-io/sluice/conf"

// Check reports what New would and the hazards across all agents of all files given: loops, shared places. It opens
// nothing and has no side effects.
func Check(kit Kit, configs []*conf.Config, property conf.Lookup) conf.Problems {
	return nil
}
