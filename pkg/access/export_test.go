package access

// Harmless is harmless, for tests.
var Harmless = harmless
