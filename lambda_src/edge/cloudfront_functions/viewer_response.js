// Viewer response → security headers. Pages get a content security policy, other types need none.
function handler(event) {
  const response = event.response;
  const headers = response.headers;
  headers['strict-transport-security'] = { value: 'max-age=63072000; includeSubDomains' };
  headers['x-content-type-options'] = { value: 'nosniff' };
  headers['referrer-policy'] = { value: 'same-origin' };
  const type = headers['content-type'];
  if (type && type.value.startsWith('text/html')) {
    headers['content-security-policy'] = { value: "default-src 'self'; frame-ancestors 'none'" };
  }
  const path = decodeURIComponent(event.request.uri); // as the bucket decodes it
  if (path.startsWith('/private/')) headers['cache-control'] = { value: 'private, no-store' };
  return response;
}
