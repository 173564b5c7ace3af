"""What the parts of seclude hand to one another: recordings, profiles, and the checks they pass when made."""
