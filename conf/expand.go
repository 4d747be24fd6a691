package conf

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What substitution may grow to, so that ten lines that double each other do not fill the memory.
const (
	maxValue  = 1 << 20  // bytes of one value
	maxGrowth = 64 << 20 // bytes of all values that hold a ${…}
	maxDepth  = 128      // values in values and ${…} in ${…}
	maxSteps  = 1 << 20  // ${…} replaced in all
)

// An expansion is what the expander knows of a property.
type expansion struct {
	state    state
	secret   bool     // the value must not be shown
	tokens   []string // what text still holds for the config filters, such as f1['key']
	open     bool     // text has a ${ without its }
	shell    []string // names whose ${…} is left to the shell that runs the value
	referred bool     // another value has this key as ${key}
}

type state int

const (
	untouched state = iota
	underway
	settled
)

// An expander replaces ${…} in values: ${prefix:name} with prefix env, sys, java or date, ${key} with the value of
// another key, ${…:-default} where there is none. What a value brings in is expanded too; $${x} becomes ${x}.
//
// A value is expanded when it is first asked for, so the order of the file does not matter.
type expander struct {
	options Options
	now     time.Time
	keys    map[string]*property
	path    []string // what is being expanded, outermost first
	growth  int
	steps   int
}

// An expanding is the value under way.
type expanding struct {
	*expander
	p *property
}

// expand settles p: text is substituted, or fault says why not.
func (e *expander) expand(p *property) {
	if p.state == settled {
		return
	}
	p.state = underway
	p.secret = p.secret || secretName(p.key)
	if p.fault == "" && strings.Contains(p.text, "${") {
		e.path = append(e.path, p.key)
		text, err := expanding{e, p}.replace(p.text)
		e.path = e.path[:len(e.path)-1]
		if err == nil {
			if e.growth += len(text); e.growth > maxGrowth {
				err = fmt.Errorf("the values of the configuration grow beyond %d MB", maxGrowth>>20)
			}
		}
		if err != nil {
			p.fault = err.Error()
		} else {
			p.text = text
		}
	}
	p.state = settled
}

// replace returns text with every ${…} replaced.
func (x expanding) replace(text string) (string, error) {
	if len(x.path) > maxDepth {
		return "", fmt.Errorf("${…} stands in ${…} more than %d deep", maxDepth)
	}
	var b strings.Builder
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			break
		}
		end := closing(text[at+2:])
		if end < 0 { // the rest stays, with escapes and all
			x.p.open = true
			break
		}
		if at > 0 && text[at-1] == '$' {
			b.WriteString(text[:at-1])
			b.WriteString("${")
			text = text[at+2:]
			continue
		}
		value, err := x.value(text[at+2 : at+2+end])
		if err != nil {
			return "", err
		}
		b.WriteString(text[:at])
		b.WriteString(value)
		if b.Len() > maxValue {
			return "", fmt.Errorf("the value grows beyond %d MB", maxValue>>20)
		}
		text = text[at+2+end+1:]
	}
	b.WriteString(text)
	return b.String(), nil
}

// closing finds the } that belongs to a ${ before text, or -1.
func closing(text string) int {
	nested := 0
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "${"):
			nested++
			i++
		case text[i] == '}' && nested == 0:
			return i
		case text[i] == '}':
			nested--
		}
	}
	return -1
}

// value resolves what stands between ${ and }.
func (x expanding) value(inner string) (string, error) {
	if x.steps++; x.steps > maxSteps {
		return "", fmt.Errorf("the configuration holds more than %d ${…}", maxSteps)
	}
	name, fallback, hasFallback := cutDefault(inner)
	x.path = append(x.path, "${"+inner+"}")
	defer func() { x.path = x.path[:len(x.path)-1] }()
	name, err := x.replace(name)
	if err != nil {
		return "", err
	}
	if before, after, found := strings.Cut(name, ":-"); found { // a ${…} in the name brought it in
		if hasFallback {
			after += ":-" + fallback
		}
		name, fallback, hasFallback = before, after, true
	}
	text, err := x.lookup(name, hasFallback)
	switch {
	case err == nil:
		return text, nil
	case hasFallback && errors.Is(err, errUnset):
		return x.replace(fallback)
	}
	return "", err
}

// cutDefault separates name:-default at the first :- that is not inside a ${…}.
func cutDefault(inner string) (name, fallback string, ok bool) {
	for i := 0; i < len(inner); i++ {
		if strings.HasPrefix(inner[i:], "${") {
			end := closing(inner[i+2:])
			if end < 0 {
				break
			}
			i += 2 + end
			continue
		}
		if strings.HasPrefix(inner[i:], ":-") {
			return inner[:i], inner[i+2:], true
		}
	}
	return inner, "", false
}

// errUnset is the error of a ${…} that a default can replace.
var errUnset = errors.New("is not set")

type unset string

func (u unset) Error() string        { return string(u) }
func (u unset) Is(target error) bool { return target == errUnset }

// lookup finds the value of a name such as env:HOME or a1.sources.r1.port.
func (x expanding) lookup(name string, hasFallback bool) (string, error) {
	prefix, rest, prefixed := strings.Cut(name, ":")
	if !prefixed {
		return x.other(name, hasFallback)
	}
	if secretName(rest) {
		x.p.secret = true
	}
	var text string
	var found bool
	var missing unset
	switch strings.ToLower(prefix) {
	case "env":
		text, found = x.options.Env.find(rest)
		missing = unset(fmt.Sprintf("the environment variable %s is not set; set it, or give a default: ${%s:-value}", rest, name))
	case "sys":
		text, found = x.options.Property.find(rest)
		missing = unset(fmt.Sprintf("the system property %s is not set; run with -D%s=value, or give a default: ${%s:-value}", rest, rest, name))
	case "java":
		text, found = javaText(rest)
		missing = unset(fmt.Sprintf("${%s} has no value: Sluice runs without Java; ${java:os}, ${java:hardware} and ${java:locale} are known", name))
	case "date":
		var err error
		if text, err = formatDate(rest, x.now); err != nil {
			return "", fmt.Errorf("${%s}: %w", name, err)
		}
		return text, nil
	default:
		missing = unset(fmt.Sprintf("${%s}: there is no prefix %q; env, sys, java and date are known; to keep it as it stands, write $${%s}", name, prefix, name))
	}
	if !found {
		if p, ok := x.keys[rest]; ok && p.state != underway { // as in Flume, where the text behind the prefix is tried as a key
			return x.other(rest, hasFallback)
		}
		return "", missing
	}
	return x.again(name, text)
}

// again expands what was brought in from outside of the files.
func (x expanding) again(name, text string) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	at := "${" + name + "} "
	if slices.Contains(x.path, at) {
		return "", fmt.Errorf("${%s} refers to itself", name)
	}
	x.path = append(x.path, at)
	defer func() { x.path = x.path[:len(x.path)-1] }()
	return x.replace(text)
}

// other finds the value of another key.
func (x expanding) other(name string, hasFallback bool) (string, error) {
	if p, ok := x.keys[name]; ok {
		p.referred = true
		if p.state == underway {
			from := max(0, slices.Index(x.path, name))
			var chain []string
			for _, step := range x.path[from:] {
				if !strings.HasPrefix(step, "${") {
					chain = append(chain, step)
				}
			}
			return "", fmt.Errorf("refers to itself: %s", strings.Join(append(chain, name), " -> "))
		}
		x.expand(p)
		if p.fault != "" {
			return "", fmt.Errorf("uses ${%s}, which has no value (see %s)", name, p.pos)
		}
		x.p.secret = x.p.secret || p.secret
		x.p.tokens = append(x.p.tokens, p.tokens...)
		return p.text, nil
	}
	if isToken(name) && !hasFallback {
		x.p.tokens = append(x.p.tokens, name)
		return "${" + name + "}", nil
	}
	text, inEnv := x.options.Env.find(name)
	if x.options.BareEnv && inEnv {
		if secretName(name) {
			x.p.secret = true
		}
		return x.again(name, text)
	}
	if name == "" {
		return "", unset("${} names nothing; to keep it as it stands, write $${}")
	}
	if strings.ContainsAny(name, "[]'\"") {
		return "", unset(fmt.Sprintf("${%s} is no key of this file and no config filter token: that is ${filter['key']}, the key of letters, digits, - and _", name))
	}
	if !hasFallback && x.forShell() {
		x.p.shell = append(x.p.shell, name)
		return "${" + name + "}", nil
	}
	if !hasFallback && x.forGroup() {
		return "${" + name + "}", nil
	}
	hint := ""
	if inEnv {
		hint = ", which is set,"
	}
	return "", unset(fmt.Sprintf("${%s} is no key of this configuration; for the environment variable%s write ${env:%s}, for a system property ${sys:%s}, to keep it as it stands $${%s}",
		name, hint, name, name, name))
}

// forShell reports whether the value is the command of an exec source that has a shell: there ${NAME} is the shell's,
// which Flume leaves alone too.
func (x expanding) forShell() bool {
	source, ok := strings.CutSuffix(x.p.key, ".command")
	if !ok || !strings.Contains(source, ".sources.") {
		return false
	}
	shell, ok := x.keys[source+".shell"]
	return ok && shell.text != ""
}

// forGroup reports whether the value is the replacement of a search_replace interceptor: there ${NAME} is a group of its
// pattern, which Flume leaves alone too.
func (x expanding) forGroup() bool {
	interceptor, ok := strings.CutSuffix(x.p.key, ".replaceString")
	return ok && strings.Contains(interceptor, ".interceptors.")
}

// isToken reports whether name is what stands between ${ and } for a config filter: NAME['key'], NAME["key"] or NAME[key].
func isToken(name string) bool {
	_, _, ok := cutToken(name)
	return ok
}

// cutToken takes a config filter token apart.
func cutToken(name string) (filter, key string, ok bool) {
	filter, key, ok = strings.Cut(name, "[")
	if !ok || filter == "" || !strings.HasSuffix(key, "]") {
		return "", "", false
	}
	key = strings.TrimSuffix(key, "]")
	if n := len(key); n >= 2 && (key[0] == '\'' || key[0] == '"') && key[n-1] == key[0] {
		key = key[1 : n-1]
	}
	if key == "" {
		return "", "", false
	}
	for _, c := range []byte(key) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return "", "", false
		}
	}
	return filter, key, true
}

// javaText is what ${java:…} can say of a process that is none of Java's.
func javaText(name string) (string, bool) {
	switch name {
	case "os":
		return runtime.GOOS + ", architecture: " + runtime.GOARCH, true
	case "hardware":
		return fmt.Sprintf("processors: %d, architecture: %s", runtime.NumCPU(), runtime.GOARCH), true
	case "locale":
		return "default locale: en, platform encoding: UTF-8", true
	}
	return "", false
}
