// Package conf reads Flume's configuration files and binds them to declared settings.
//
// A file is Java properties text. Its keys are AGENT.GROUP.COMPONENT.SETTING; [Config] holds them as agents made of
// [Section] values, each value with its file and line. A component declares its settings once ([Settings], [Decl]);
// [Bind] sets them from a section and returns all [Problems], [Describe] gives the manual.
//
//	files ─▶ properties ─▶ merge ─▶ ${…} ─▶ agents and sections ─▶ ${filter['key']} ─▶ Bind ─▶ settings, Problems
//	         continued     later    env, sys,  listed, in listed      of that agent
//	         lines, \u     over     keys, in   order
//	                       earlier  any order
//
// Keys and values are trimmed; a value that is empty counts as not set, so a later file can unset what an earlier one
// has set. Names and keys are case-sensitive.
//
// Nothing here stops at the first mistake: what can be said is said in one pass, with file and line, and only what
// Flume would not run either, or what would run with a value that nobody meant, is [Fatal], for that component alone.
// A value that cannot be resolved has a Fault and never reaches a component as text. Only a file that cannot be read at
// all is an error of [Read]. Values whose key or origin sounds like a secret are in no message.
//
// Files are bounded (16 MB), and so is what substitution makes of them (1 MB a value, 64 MB in all).
package conf
