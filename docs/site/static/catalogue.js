// Chooses cards of the start page by service, trigger and proof level. Without it, all of them are shown.
const form = document.querySelector(".catalogue-filter");
if (form) {
  const cards = [...document.querySelectorAll(".cards > li")];
  const groups = [...document.querySelectorAll("section:has(> .cards)")];

  const choose = () => {
    const chosen = [...new FormData(form)].filter(([, value]) => value);
    for (const card of cards) {
      card.hidden = !chosen.every(([name, value]) => card.dataset[name].split("|").includes(value));
    }
    for (const group of groups) group.hidden = !group.querySelector(".cards > li:not([hidden])");
    const shown = cards.filter((card) => !card.hidden).length;
    form.querySelector("output").textContent = `${shown} of ${cards.length} architectures`;
    return chosen;
  };
  const remember = () => location.replace(`#${new URLSearchParams(choose())}`); // the address can be shared

  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (form.elements[name]) form.elements[name].value = value;
  }
  form.addEventListener("change", remember);
  form.addEventListener("reset", () => setTimeout(remember)); // after the fields are empty
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  choose();
}
