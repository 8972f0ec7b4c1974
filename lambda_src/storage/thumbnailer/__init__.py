"""The handler of `thumbnailer`: thumbnails and a row of metadata for every picture in a bucket."""
