// Package conf reads Flume's configuration files and binds them to declared settings.
//
// A file is Java properties text. Its keys are AGENT.GROUP.COMPONENT.SETTING; [Config] holds them as agents made of
// [Section] values, each value with its file and line. A component declares its settings once ([Settings], [Decl]);
// [Bind] sets them from a section and returns all [Problems], [Describe] gives the manual.
//
//	files ─▶ properties ─▶ ${…} ─▶ agents and sections ─▶ Bind ─▶ settings, Problems
//
// Nothing here stops at the first mistake: what can be said is said in one pass, with file and line, and only what
// Flume would not run either is [Fatal], for that component alone.
package conf
