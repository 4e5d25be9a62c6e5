"""Verdicts written by hand, for the rules that the recorded cases leave out; same world, same form."""
