-- An instance in a container, whose host fetches what it needs first.
UPDATE instances SET container = 'c0ffee', progress = 'layer 2 of 3' WHERE id = (SELECT min(id) FROM instances);
