resource "openstack_compute_servergroup_v2" "control_planes" {
  count = var.spread ? 1 : 0

  name     = local.name
  policies = ["soft-anti-affinity"]

  depends_on = [terraform_data.checks]
}

resource "openstack_compute_instance_v2" "node" {
  for_each = var.nodes

  name      = "${each.key}-${local.name}"
  image_id  = local.image_ids[each.key]
  flavor_id = data.openstack_compute_flavor_v2.this[local.node_flavors[each.key]].id
  key_pair  = local.key_pair
  # Names this server and no other, so that adding a node replaces none.
  user_data = templatefile("${path.module}/cloud-init.yaml.tftpl", {
    name            = each.key
    address         = each.value.address
    authorized_keys = var.ssh_authorized_keys
    first_boot      = file("${path.module}/first-boot.sh")
  })
  metadata = {
    galley_cluster = local.name
    galley_node    = each.key
    galley_role    = each.value.role
  }

  # The shared network first: its gateway is the default route.
  network {
    port = openstack_networking_port_v2.shared[each.key].id
  }

  network {
    port = openstack_networking_port_v2.private[each.key].id
  }

  dynamic "scheduler_hints" {
    for_each = local.host_hints[each.key] != null || (var.spread && each.value.role == "control-plane") ? [1] : []

    content {
      group                 = var.spread && each.value.role == "control-plane" ? openstack_compute_servergroup_v2.control_planes[0].id : null
      additional_properties = local.host_hints[each.key] != null ? { reservation = local.host_hints[each.key] } : null
    }
  }

  lifecycle {
    # A new image of the same name, or a colleague's key, must not rebuild a server that holds a part of etcd.
    # Replacing the server takes both: `galley infra replace NODE`, or apply -replace.
    ignore_changes = [image_id, user_data]
  }

  depends_on = [data.openstack_compute_keypair_v2.existing]
}
