// Package kit lists the kinds of components in the binary. A kind is in the binary because it stands here.
package kit

import (
	"github.com/sluice-io/sluice/agent"
)

// Standard is the kit of cmd/sluice.
var Standard = agent.Kit{}
