// The posts of the API as cards, and sign-ups. Texts are set as text, never as markup.
const posts = document.getElementById('posts');
const more = document.getElementById('more');
const form = document.getElementById('subscribe');
const answer = document.getElementById('answer');

function card(post) {
  const article = document.createElement('article');
  if (post.picture) {
    const image = document.createElement('img');
    const [small, large] = Object.keys(post.picture);
    image.src = post.picture[small];
    image.srcset = `${post.picture[small]} ${small}w, ${post.picture[large]} ${large}w`;
    image.sizes = '20rem';
    image.alt = '';
    image.addEventListener('error', () => image.remove()); // there is no thumbnail (yet)
    article.append(image);
  }
  const text = document.createElement('div');
  for (const [tag, value] of [['h2', post.title], ['p', post.summary]]) {
    const element = document.createElement(tag);
    element.textContent = value ?? '';
    text.append(element);
  }
  article.append(text);
  return article;
}

async function show(before) {
  const response = await fetch('/api/posts' + (before ? `?before=${encodeURIComponent(before)}` : ''));
  if (!response.ok) throw new Error(`the API answered ${response.status}`);
  const page = await response.json();
  posts.append(...page.posts.map(card));
  more.hidden = !page.next;
  more.onclick = () => load(page.next);
}

async function load(before) {
  posts.setAttribute('aria-busy', 'true');
  try {
    await show(before);
  } catch (error) {
    answer.textContent = 'The posts cannot be loaded now. Please try again later.';
    console.error(error);
  }
  posts.setAttribute('aria-busy', 'false');
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = form.querySelector('button');
  button.disabled = true;
  try {
    const response = await fetch('/api/subscribers', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: form.email.value }),
    });
    answer.textContent = (await response.json()).message;
  } catch (error) {
    answer.textContent = 'That did not work. Please try again later.';
    console.error(error);
  }
  button.disabled = false;
});

load();
