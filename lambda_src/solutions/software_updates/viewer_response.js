// Viewer response → how long clients may keep it. It does not run for errors: a client keeps no 404 for a year.
// A redirect is no file, and neither is what dots lead to (/releases/../manifest.json).
function handler(event) {
  const headers = event.response.headers;
  const uri = event.request.uri;
  const file = uri.startsWith('/releases/') && !/(\/|%2f)(\.|%2e)/i.test(uri);
  const released = file && [200, 206, 304].includes(event.response.statusCode);
  headers['cache-control'] = { value: released ? 'public, max-age=31536000, immutable' : 'no-cache' };
  headers['strict-transport-security'] = { value: 'max-age=63072000' };
  headers['x-content-type-options'] = { value: 'nosniff' };
  return event.response;
}
