"""The AWS SDK for JavaScript for Node.js functions, without downloading it."""
