package conf

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings is what a component can be told. Declare names every setting once, with its default, its meaning and its
// checks; reading, manual pages, check, did-you-mean and completion are all derived from it.
type Settings interface {
	Declare(d *Decl)
}

// A Decl collects the declarations of one component. Each typed method binds one setting to a variable, as
// flag.IntVar does, and sets the variable to its default at once; values of the file follow when Bind has
// collected all of them, so a Declare cannot depend on what the file says.
type Decl struct {
	section  *Section // nil in Describe
	prefix   string
	settings []*Setting
	rests    []restSetting
	checks   []func() error
	limits   Limits
	problems Problems
}

// Limits are the sizes that the agent compares between a channel and the components around it. Zero: not declared.
type Limits struct {
	BatchSize           int    // of a source or sink
	BatchSizeKey        string // under which it stands, or would stand, in the file
	TransactionCapacity int    // of a channel
}

// A Setting is one declared setting.
type Setting struct {
	Key     string
	Type    string // "number of seconds": completes the sentence "… is not a …"
	Default string
	Doc     string
	Choices []string // the words that it takes; nil: no fixed list
	Olds    []string // names of older versions: taken, with a warning
	Others  []string // names that Flume ignores: taken, with a warning

	required bool
	lenient  bool
	secret   bool
	property string
	env      string
	parse    func(text string) error
	bounds   []func() error
	warnings func(shown, text string) string
}

type restSetting struct {
	prefix string
	into   *Values
	doc    string
}

// Required makes the component fatal without a value.
func (s *Setting) Required() *Setting { s.required = true; return s }

// IsRequired reports whether the component is fatal without a value.
func (s *Setting) IsRequired() bool { return s.required }

// Secret keeps the value out of messages.
func (s *Setting) Secret() *Setting { s.secret = true; return s }

// Lenient makes an unreadable value a warning and takes the default, where Flume does so.
func (s *Setting) Lenient() *Setting { s.lenient = true; return s }

// Old names keys of older versions, spelt in full, that are read, with a warning, where the key itself is not set.
func (s *Setting) Old(keys ...string) *Setting { s.Olds = append(s.Olds, keys...); return s }

// Also names keys, spelt in full, that Flume ignores though files have them for this one: they are read, with a warning,
// where the key itself is not set.
func (s *Setting) Also(keys ...string) *Setting { s.Others = append(s.Others, keys...); return s }

// From names the system property and the environment variable that hold where no key is set.
func (s *Setting) From(property, env string) *Setting { s.property, s.env = property, env; return s }

// Bound adds a condition on the value, checked after all settings have been read.
func (s *Setting) Bound(check func() error) *Setting { s.bounds = append(s.bounds, check); return s }

// Number is a declared number; its bounds are in the unit of the file.
type Number struct {
	*Setting
	value func() int64
	set   func(int64)
}

// AtLeast refuses what is below low.
func (n *Number) AtLeast(low int64) *Number {
	n.Bound(func() error {
		if v := n.value(); v < low {
			return fmt.Errorf("%d is less than %d, the least it may be", v, low)
		}
		return nil
	})
	return n
}

// AtMost refuses what is above high.
func (n *Number) AtMost(high int64) *Number {
	n.Bound(func() error {
		if v := n.value(); v > high {
			return fmt.Errorf("%d is more than %d, the most it may be", v, high)
		}
		return nil
	})
	return n
}

// DefaultBelow takes the default, with a warning, for what is below low, where Flume does so.
func (n *Number) DefaultBelow(low int64) *Number {
	usual := n.value()
	n.Bound(func() error {
		v := n.value()
		if v >= low {
			return nil
		}
		n.set(usual)
		return Warn(n.Key, fmt.Errorf("%d is less than %d; the default %s is taken", v, low, n.Default))
	})
	return n
}

func (d *Decl) add(s *Setting) *Setting {
	s.Key = d.prefix + s.Key
	d.settings = append(d.settings, s)
	return s
}

// String declares a text.
func (d *Decl) String(p *string, key, value, doc string) *Setting {
	*p = value
	return d.add(&Setting{Key: key, Type: "text", Default: value, Doc: doc, parse: func(text string) error {
		*p = text
		return nil
	}})
}

// Strings declares a list of words, separated by white space.
func (d *Decl) Strings(p *[]string, key, value, doc string) *Setting {
	*p = strings.Fields(value)
	return d.add(&Setting{Key: key, Type: "list of words", Default: value, Doc: doc, parse: func(text string) error {
		*p = strings.Fields(text)
		return nil
	}})
}

// Bool declares a truth value. As in Flume, everything but true (in any case) is false; what is neither is warned of.
func (d *Decl) Bool(p *bool, key string, value bool, doc string) *Setting {
	*p = value
	return d.add(&Setting{Key: key, Type: "true or false", Default: strconv.FormatBool(value), Doc: doc,
		parse: func(text string) error {
			*p = strings.EqualFold(text, "true")
			return nil
		},
		warnings: func(shown, text string) string {
			if strings.EqualFold(text, "true") || strings.EqualFold(text, "false") {
				return ""
			}
			return shown + " is neither true nor false; it is taken as false"
		}})
}

// Int declares a 32-bit number, as Java's int.
func (d *Decl) Int(p *int, key string, value int, doc string) *Number {
	*p = value
	s := d.add(&Setting{Key: key, Type: "number", Default: strconv.Itoa(value), Doc: doc, parse: func(text string) error {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return err
		}
		*p = int(n)
		return nil
	}})
	return &Number{s, func() int64 { return int64(*p) }, func(v int64) { *p = int(v) }}
}

// Int64 declares a 64-bit number, as Java's long.
func (d *Decl) Int64(p *int64, key string, value int64, doc string) *Number {
	*p = value
	s := d.add(&Setting{Key: key, Type: "number", Default: strconv.FormatInt(value, 10), Doc: doc, parse: func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		*p = n
		return nil
	}})
	return &Number{s, func() int64 { return *p }, func(v int64) { *p = v }}
}

// Seconds declares a duration that the file gives as a number of seconds.
func (d *Decl) Seconds(p *time.Duration, key string, value time.Duration, doc string) *Number {
	return d.duration(p, key, value, time.Second, "number of seconds", doc)
}

// Millis declares a duration that the file gives as a number of milliseconds.
func (d *Decl) Millis(p *time.Duration, key string, value time.Duration, doc string) *Number {
	return d.duration(p, key, value, time.Millisecond, "number of milliseconds", doc)
}

func (d *Decl) duration(p *time.Duration, key string, value, unit time.Duration, typ, doc string) *Number {
	*p = value
	s := d.add(&Setting{Key: key, Type: typ, Default: strconv.FormatInt(int64(value/unit), 10), Doc: doc, parse: func(text string) error {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return err
		}
		if n > math.MaxInt64/int64(unit) || n < math.MinInt64/int64(unit) {
			return strconv.ErrRange
		}
		*p = time.Duration(n) * unit
		return nil
	}})
	return &Number{s, func() int64 { return int64(*p / unit) }, func(v int64) { *p = time.Duration(v) * unit }}
}

// Choice declares a setting that takes one of a few words, in any case.
func Choice[T ~string](d *Decl, p *T, key string, value T, doc string, words ...T) *Setting {
	*p = value
	choices := make([]string, len(words))
	for i, w := range words {
		choices[i] = string(w)
	}
	return d.add(&Setting{Key: key, Type: "one of " + strings.Join(choices, ", "), Default: string(value), Doc: doc, Choices: choices,
		parse: func(text string) error {
			for _, w := range words {
				if strings.EqualFold(text, string(w)) {
					*p = w
					return nil
				}
			}
			return errors.New("no such word")
		}})
}

// Rest declares that every key below prefix (kafka.producer.) is a setting, passed on under the rest of its name.
func (d *Decl) Rest(p *Values, prefix, doc string) {
	d.rests = append(d.rests, restSetting{d.prefix + prefix, p, doc})
}

// Under declares settings that several components share, below prefix.
func (d *Decl) Under(prefix string, s Settings) {
	outer := d.prefix
	d.prefix += prefix
	s.Declare(d)
	d.prefix = outer
}

// BatchSize declares how many events the component moves in one transaction; the agent compares it with the channel.
func (d *Decl) BatchSize(p *int, key string, value int, doc string) *Number {
	n := d.Int(p, key, value, doc)
	d.Check(func() error {
		d.limits.BatchSize, d.limits.BatchSizeKey = *p, d.spelling(n.Setting)
		return nil
	})
	return n
}

// TransactionCapacity declares the most events of one transaction of a channel.
func (d *Decl) TransactionCapacity(p *int, key string, value int, doc string) *Number {
	n := d.Int(p, key, value, doc)
	d.Check(func() error { d.limits.TransactionCapacity = *p; return nil })
	return n
}

// Check adds a condition on several settings. It runs when all have been read, and only if each could be read.
// The error is fatal unless it is made by Warn or Advise; At gives it the place of a key; errors.Join gives several.
func (d *Decl) Check(check func() error) { d.checks = append(d.checks, check) }

// Property finds a system property, for defaults such as user.home.
func (d *Decl) Property(name string) (string, bool) {
	if d.section == nil {
		return "", false
	}
	return d.section.Property.find(name)
}

// Targets are the names that settings may refer to: of a selector its source's channels, of a sink processor the sinks
// of its group. Nil where they are not known, as in a manual; a Check asks for them, when all settings have been read.
func (d *Decl) Targets() []string {
	if d.section == nil {
		return nil
	}
	return d.section.Targets
}

type placedError struct {
	error
	key string
	sev Severity
}

func (e *placedError) Unwrap() error { return e.error }

// At places what a Check found at a key (as the file spells it below the component).
func At(key string, err error) error { return &placedError{err, key, Fatal} }

// Warn makes what a Check found a warning at key; the component runs.
func Warn(key string, err error) error { return &placedError{err, key, Warning} }

// Advise makes what a Check found a note at key: nothing is wrong, and there is a better way.
func Advise(key string, err error) error { return &placedError{err, key, Note} }

// Manual is what can be said of a component's settings without a file.
type Manual struct {
	Settings []*Setting
	Prefixes []Prefix
}

// Prefix is a family of settings that is passed on.
type Prefix struct{ Prefix, Doc string }

// Describe declares s without a file, for manual pages and completion.
func Describe(s Settings) Manual {
	var d Decl
	s.Declare(&d)
	m := Manual{Settings: d.settings}
	for _, r := range d.rests {
		m.Prefixes = append(m.Prefixes, Prefix{r.prefix, r.doc})
	}
	return m
}

// Bind reads sec into s and returns every problem at once, among them each key of sec that nobody has claimed.
func Bind(s Settings, sec *Section) (Limits, Problems) {
	d := Decl{section: sec}
	s.Declare(&d)
	for _, v := range sec.Values {
		if v.Fault != "" {
			d.report(Fatal, v.Key, v.Fault)
		}
	}
	for _, st := range d.settings {
		if d.read(st) {
			d.bound(st)
		}
	}
	for _, r := range d.rests {
		*r.into = append(Values(nil), d.restOf(r)...)
	}
	if !d.problems.Fatal() {
		for _, check := range d.checks {
			d.judge("", Fatal, check())
		}
	}
	for _, v := range sec.empty {
		switch {
		case sec.claimed[v.Key] || v.Key == "type": // Read has reported a type that is empty
		case d.known(v.Key):
			d.report(Warning, v.Key, "is empty: as if it were not set")
		default:
			d.report(Warning, v.Key, d.unknown(v))
		}
	}
	for _, v := range sec.Unclaimed() {
		d.report(Warning, v.Key, d.unknown(v))
	}
	return d.limits, d.problems
}

// known reports whether a key that is no declared setting is read all the same: passed on, or by the agent.
func (d *Decl) known(key string) bool {
	keys, families := d.section.outer()
	for _, r := range d.rests {
		families = append(families, r.prefix)
	}
	return slices.Contains(keys, key) ||
		slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(key, family) })
}

// restOf leaves out the declared settings that stand below the same prefix.
func (d *Decl) restOf(r restSetting) Values {
	var out Values
	for _, v := range d.section.Values {
		rest, ok := strings.CutPrefix(v.Key, r.prefix)
		if !ok || rest == "" || d.section.claimed[v.Key] {
			continue
		}
		d.section.claimed[v.Key] = true
		v.Key = rest
		out = append(out, v)
	}
	return out
}

// report places a problem at the key under which the file has the setting, if that is another name of it.
func (d *Decl) report(sev Severity, key, text string) {
	for _, s := range d.settings {
		if s.Key == key && !d.stands(key) {
			key = d.spelling(s)
			break
		}
	}
	d.problems = append(d.problems, d.section.Problem(sev, key, text))
}

// stands reports whether the file has key, be it without a value.
func (d *Decl) stands(key string) bool {
	_, full := d.section.Values.Get(key)
	_, bare := d.section.empty.Get(key)
	return full || bare
}

// spelling is the key under which the file has the setting.
func (d *Decl) spelling(s *Setting) string {
	for _, key := range s.spellings() {
		if _, ok := d.section.Values.Get(key); ok {
			return key
		}
	}
	return s.Key
}

// read sets a setting from the section and reports whether its value, which may be the default, can be used.
func (d *Decl) read(s *Setting) bool {
	var from string // the key whose value is taken
	usable := true
	for i, key := range s.spellings() {
		v, ok := d.section.Get(key)
		if !ok {
			continue
		}
		old := i > len(s.Others)
		switch {
		case from != "" && old:
			d.report(Warning, key, fmt.Sprintf("is an old name of %q; %q is set too and wins", s.Key, from))
			continue
		case from != "":
			d.report(Warning, key, fmt.Sprintf("is another name of %q; %q is set too and wins", s.Key, from))
			continue
		case old:
			d.report(Warning, key, fmt.Sprintf("is an old name of %q", s.Key))
		case i > 0:
			d.report(Warning, key, fmt.Sprintf("is taken as %q; Flume ignores it", s.Key))
		}
		from = key
		usable = v.Fault == "" && d.set(s, key, v.Text, "", v.Secret) // of a fault, Bind tells
	}
	if from != "" {
		return usable
	}
	if text, ok := d.section.Property.find(s.property); ok {
		return d.set(s, s.Key, text, "the system property "+s.property, false)
	}
	if text, ok := d.section.Env.find(s.env); ok {
		return d.set(s, s.Key, text, "the environment variable "+s.env, false)
	}
	for _, key := range s.spellings() {
		v, ok := d.section.empty.Get(key)
		if !ok {
			continue
		}
		d.section.claimed[key] = true
		switch {
		case s.required:
			d.report(Fatal, key, "is empty and required: "+s.Doc)
			return false
		case s.Default != "":
			d.report(Warning, v.Key, fmt.Sprintf("is empty: as if it were not set, so it is %s", s.Default))
		}
		return true
	}
	if s.required {
		d.report(Fatal, s.Key, "is required and not set: "+s.Doc)
		return false
	}
	return true
}

// spellings are the keys under which a setting can stand: its own, others, old ones.
func (s *Setting) spellings() []string { return slices.Concat([]string{s.Key}, s.Others, s.Olds) }

// set parses text and reports whether it could be read. origin is where it comes from, if not from the file.
func (d *Decl) set(s *Setting, key, text, origin string, secret bool) bool {
	text = trim(text)
	hidden := secret || s.secret || secretName(key) || secretText(text)
	value := shorten(text, longestShown)
	if hidden {
		value = "the value"
	}
	if origin != "" {
		value += " (" + origin + ")"
	}
	if err := s.parse(text); err != nil {
		message := fmt.Sprintf("%s is not a %s", value, s.Type)
		if s.Choices != nil {
			message = fmt.Sprintf("%s is not %s", value, s.Type)
		}
		if errors.Is(err, strconv.ErrRange) {
			message = fmt.Sprintf("%s is beyond the range of this setting", value)
		}
		d.refuse(s, key, message)
		return s.lenient
	}
	if s.warnings != nil {
		if w := s.warnings(value, text); w != "" {
			d.report(Warning, key, w)
		}
	}
	return true
}

// bound checks the bounds of one setting.
func (d *Decl) bound(s *Setting) {
	for _, bound := range s.bounds {
		err := bound()
		var placed *placedError
		switch {
		case err == nil:
			continue
		case !s.lenient || errors.As(err, &placed):
			d.judge(d.spelling(s), Fatal, err)
			return
		}
		if bad := s.parse(s.Default); bad != nil {
			panic("BUG: the default of " + s.Key + " cannot be read: " + bad.Error())
		}
		d.refuse(s, d.spelling(s), err.Error())
		return
	}
}

// refuse reports a value that cannot be. Of a lenient setting the default is taken.
func (d *Decl) refuse(s *Setting, key, message string) {
	if !s.lenient {
		d.report(Fatal, key, message)
		return
	}
	d.report(Warning, key, message+"; the default "+s.Default+" is taken")
}

// judge turns what a Check returned into problems.
func (d *Decl) judge(key string, sev Severity, err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			d.judge(key, sev, e)
		}
		return
	}
	var placed *placedError
	if errors.As(err, &placed) {
		inner := placed.error
		if text := err.Error(); text != inner.Error() { // something was said around it
			inner = errors.New(text)
		}
		d.judge(placed.key, placed.sev, inner)
		return
	}
	d.report(sev, key, err.Error())
}
