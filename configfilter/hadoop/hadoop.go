// Package hadoop names Flume's config filter for Hadoop credential stores, which Sluice does not have.
package hadoop

import "github.com/sluice-io/sluice/conf"

// Kind refuses the hadoop config filter.
var Kind = conf.RefuseFilter("hadoop", "org.apache.flume.configfilter.HadoopCredentialStoreConfigFilter",
	"a Hadoop credential store needs Hadoop's Java classes; take the secret from an environment variable (type env), "+
		"or from a program that prints it (type external)")
