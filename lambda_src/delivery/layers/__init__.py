"""The handler of `layers`: corrects words by a dictionary from a layer, in Python; `cpp` does it in C++."""
