// A picture that is in the data itself: {source: "data:image/png;base64,...", width, alternative}.

minigrad.views.picture = (element, { source, width, alternative }) => {
  element.append(minigrad.element("img", { src: source, width, alt: alternative }));
};
