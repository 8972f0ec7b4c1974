"""Functions of Lambda@Edge for each trigger point, and an origin that makes variants of images."""
