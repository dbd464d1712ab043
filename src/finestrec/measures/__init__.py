"""Pure functions over arrays: how alike two ranked lists are, and how good one of them is.

`overlap` holds the list similarities, `accuracy` the rank of the target and what follows from it, `names` the
printed name of each similarity, so that a number is never shown without its convention.
"""
