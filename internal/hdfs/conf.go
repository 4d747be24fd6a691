package hdfs

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Conf holds Hadoop's settings: those of core-site.xml and hdfs-site.xml.
type Conf struct {
	values map[string]string
	final  map[string]bool
}

// NewConf returns settings that are all Hadoop's defaults.
func NewConf() *Conf { return &Conf{values: map[string]string{}, final: map[string]bool{}} }

// FindConf reads the first directory that has settings: HADOOP_CONF_DIR, etc/hadoop below HADOOP_HOME, and those
// given. The second value is that directory; it is empty where none has any.
func FindConf(getenv func(string) string, others ...string) (*Conf, string, error) {
	dirs := []string{getenv("HADOOP_CONF_DIR")}
	if home := getenv("HADOOP_HOME"); home != "" {
		dirs = append(dirs, filepath.Join(home, "etc", "hadoop"))
	}
	for _, dir := range append(dirs, others...) {
		if dir == "" {
			continue
		}
		c, err := ReadConf(dir)
		if err != nil || len(c.values) > 0 {
			return c, dir, err
		}
	}
	return NewConf(), "", nil
}

// ReadConf reads core-site.xml and then hdfs-site.xml of a directory, which may be missing.
func ReadConf(dir string) (*Conf, error) {
	c := NewConf()
	for _, name := range []string{"core-site.xml", "hdfs-site.xml"} {
		if err := c.read(filepath.Join(dir, name), 0); err != nil && !(errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
	}
	return c, nil
}

type xmlConf struct {
	Properties []struct {
		Name  string `xml:"name"`
		Value string `xml:"value"`
		Final string `xml:"final"`
	} `xml:"property"`
	Includes []struct {
		Href     string    `xml:"href,attr"`
		Fallback *struct{} `xml:"fallback"`
	} `xml:"http://www.w3.org/2001/XInclude include"`
}

func (c *Conf) read(path string, depth int) error {
	if depth > 8 {
		return fmt.Errorf("reading the Hadoop configuration %s: more than 8 files include each other", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the Hadoop configuration: %w", err)
	}
	var x xmlConf
	if err := xml.Unmarshal(text, &x); err != nil {
		return fmt.Errorf("reading the Hadoop configuration %s: %w", path, err)
	}
	for _, i := range x.Includes {
		href := strings.TrimPrefix(i.Href, "file://")
		if !filepath.IsAbs(href) {
			href = filepath.Join(filepath.Dir(path), href)
		}
		if err := c.read(href, depth+1); err != nil && !(i.Fallback != nil && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	for _, p := range x.Properties {
		name := strings.TrimSpace(p.Name)
		if name == "" || c.final[name] {
			continue
		}
		c.values[name] = p.Value
		c.final[name] = strings.TrimSpace(p.Final) == "true"
	}
	return nil
}

// Set changes a setting.
func (c *Conf) Set(name, value string) { c.values[name] = value }

// Clone returns a copy.
func (c *Conf) Clone() *Conf { return &Conf{maps.Clone(c.values), maps.Clone(c.final)} }

// Get returns a setting with its ${variables} replaced, which are other settings or env.NAME; def if it is not set.
func (c *Conf) Get(name, def string) string {
	v, ok := c.values[name]
	if !ok {
		return def
	}
	v = strings.TrimSpace(v)
	for range 20 { // as often as Hadoop does it
		i := strings.Index(v, "${")
		if i < 0 {
			break
		}
		n := strings.IndexByte(v[i:], '}')
		if n < 0 {
			break
		}
		name := v[i+2 : i+n]
		value, ok := c.values[name]
		if env, isEnv := strings.CutPrefix(name, "env."); isEnv {
			env, fallback, has := strings.Cut(env, ":-")
			if value, ok = os.LookupEnv(env); !ok && has {
				value, ok = fallback, true
			}
		}
		if name == "user.name" && !ok {
			value, ok = userOfProcess(), true
		}
		if !ok {
			break
		}
		v = v[:i] + strings.TrimSpace(value) + v[i+n+1:]
	}
	return v
}

// Int returns a number; def if it is not set or is none.
func (c *Conf) Int(name string, def int64) int64 {
	n, err := strconv.ParseInt(c.Get(name, ""), 0, 64)
	if err != nil {
		return def
	}
	return n
}

// Size returns a number of bytes, which may end in k, m, g, t or p.
func (c *Conf) Size(name string, def int64) int64 {
	v := strings.ToLower(c.Get(name, ""))
	shift := 0
	if i := len(v) - 1; i > 0 {
		if s := strings.IndexByte("kmgtp", v[i]); s >= 0 {
			v, shift = v[:i], 10*(s+1)
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return def
	}
	return n << shift
}

// Bool returns whether a setting is true.
func (c *Conf) Bool(name string, def bool) bool {
	switch strings.ToLower(c.Get(name, "")) {
	case "true":
		return true
	case "false":
		return false
	}
	return def
}

// Duration returns a time: a number with a unit of Hadoop's (ns us ms s m h d), or without one in unit.
func (c *Conf) Duration(name string, unit, def time.Duration) time.Duration {
	v := strings.ToLower(c.Get(name, ""))
	for _, u := range []struct {
		end string
		d   time.Duration
	}{{"ns", time.Nanosecond}, {"us", time.Microsecond}, {"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}} {
		if n, ok := strings.CutSuffix(v, u.end); ok {
			v, unit = n, u.d
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil || n > int64(1<<62/unit) {
		return def
	}
	return time.Duration(n) * unit
}

// Strings returns the parts of a setting between its commas.
func (c *Conf) Strings(name string) []string {
	var parts []string
	for p := range strings.SplitSeq(c.Get(name, ""), ",") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	return parts
}

// nameNodes returns the addresses of the NameNodes of an authority, a name service or host:port, and how it is called.
func (c *Conf) nameNodes(authority string) (addrs []string, err error) {
	ids := c.Strings("dfs.ha.namenodes." + authority)
	if len(ids) == 0 {
		if addr := c.Get("dfs.namenode.rpc-address."+authority, ""); addr != "" { // a name service of one
			return []string{withPort(addr)}, nil
		}
		if authority == "" {
			return nil, errors.New("no NameNode is named")
		}
		return []string{withPort(authority)}, nil
	}
	for _, id := range ids {
		key := "dfs.namenode.rpc-address." + authority + "." + id
		addr := c.Get(key, "")
		if addr == "" {
			return nil, fmt.Errorf("the Hadoop configuration names the NameNode %s of %s but has no %s", id, authority, key)
		}
		addrs = append(addrs, withPort(addr))
	}
	return addrs, nil
}

func withPort(addr string) string {
	if i := strings.LastIndexByte(addr, ':'); i > strings.LastIndexByte(addr, ']') {
		return addr
	}
	return addr + ":8020"
}
