module example.com/embedded

go 1.26.0

require github.com/sluice-io/sluice v0.0.0

// Here the module stands in Sluice's own tree. Elsewhere this line goes, and "go get" finds a version.
replace github.com/sluice-io/sluice => ../..
