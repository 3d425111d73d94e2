locals {
  uuid = "^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$"
  name = "gourmetgram-${var.suffix}"

  control_planes   = sort([for name, node in var.nodes : name if node.role == "control-plane"])
  floating_ip_node = coalesce(var.floating_ip_node, local.control_planes[0])

  # What each node is made from, once settings and the node's own wishes are put together.
  node_images  = { for name, node in var.nodes : name => coalesce(node.image, var.image) }
  image_names  = toset([for image in values(local.node_images) : image if !can(regex(local.uuid, image))])
  reservations = { for name, node in var.nodes : name => node.reservation_id != null ? node.reservation_id : var.reservation_id }
  host_hints   = { for name, node in var.nodes : name => node.host_reservation_id != null ? node.host_reservation_id : var.host_reservation_id }
  node_flavors = {
    for name, node in var.nodes : name => (
      node.flavor != null ? node.flavor : local.reservations[name] != null ? local.reservations[name] : var.flavor
    )
  }
  flavors = toset(values(local.node_flavors))

  image_ids = {
    for name, image in local.node_images : name => (
      can(regex(local.uuid, image)) ? image : try(data.openstack_images_image_ids_v2.by_name[image].ids[0], null)
    )
  }

  key_pair = var.ssh_public_key == null ? var.key_pair : openstack_compute_keypair_v2.this[0].name
}

# A list that may be empty, rather than a data source that fails: the message is then ours (see the preconditions).
data "openstack_images_image_ids_v2" "by_name" {
  for_each = local.image_names

  name = each.value
  sort = "created_at:desc"
}

data "openstack_compute_flavor_v2" "this" {
  for_each = local.flavors

  flavor_id = can(regex(local.uuid, each.value)) ? each.value : null
  name      = can(regex(local.uuid, each.value)) ? null : each.value
}

resource "openstack_compute_keypair_v2" "this" {
  count = var.ssh_public_key == null ? 0 : 1

  name       = local.name
  public_key = trimspace(var.ssh_public_key)
}

data "openstack_compute_keypair_v2" "existing" {
  count = var.ssh_public_key == null ? 1 : 0

  name = var.key_pair
}
