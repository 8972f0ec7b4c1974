// Viewer response → security headers.
function handler(event) {
  const headers = event.response.headers;
  headers['strict-transport-security'] = { value: 'max-age=63072000; includeSubDomains' };
  headers['x-content-type-options'] = { value: 'nosniff' };
  headers['content-security-policy'] = { value: "default-src 'self'; frame-ancestors 'none'" };
  return event.response;
}
