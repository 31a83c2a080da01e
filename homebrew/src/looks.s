; Pictures of the creatures.

.include "memory.inc"

.segment "CODE"

draw_creatures:
  ldx #SPECIAL - 1
@object:
  lda obj_active, x
  beq @next
  jsr draw_creature
@next:
  dex
  bne @object
  rts

draw_creature:
  lda #2
  sta t2
  lda #8
  sta t7
  ldy #PAL_BEETLE
  lda obj_type, x
  cmp #TYPE_PLANT
  beq @plant
  cmp #TYPE_EMBER
  beq @ember
  cmp #TYPE_FROG
  beq @frog
  cmp #TYPE_WASP
  beq @wasp
  cmp #TYPE_HEDGEHOG
  beq @hedgehog
  cmp #TYPE_CAREFUL
  bne @beetle
  ldy #PAL_RED
@beetle:
  lda obj_air, x
  cmp #FLAT
  beq @flat
  lda frame
  and #8
  bne :+
  lda #SPR_BEETLE_1
  bne @draw ; always
: lda #SPR_BEETLE_2
  bne @draw ; always
@flat:
  lda #SPR_BEETLE_FLAT
  bne @draw ; always
@hedgehog:
  ldy #PAL_RED
  jsr look
  lda frame
  and #8
  bne :+
  lda #SPR_HEDGEHOG_1
  bne @draw ; always
: lda #SPR_HEDGEHOG_2
  bne @draw ; always
@frog:
  ldy #PAL_GREEN
  lda obj_air, x
  cmp #FLAT
  beq @flat
  jsr look
  lda obj_air, x
  bne :+
  lda #SPR_FROG_SIT
  bne @draw ; always
: lda #SPR_FROG_LEAP
  bne @draw ; always
@wasp:
  ldy #PAL_HERO
  lda obj_air, x
  cmp #FLAT
  beq @flat
  lda frame
  and #4
  bne :+
  lda #SPR_WASP_1
  bne @draw ; always
: lda #SPR_WASP_2
  bne @draw ; always
@ember:
  ldy #PAL_RED | BEHIND
  lda #SPR_EMBER
  bne @draw ; always
@plant:
  lda #3
  sta t2
  ldy #PAL_GREEN | BEHIND
  lda frame
  and #16
  bne :+
  lda #SPR_PLANT_1
  bne @draw ; always
: lda #SPR_PLANT_2
@draw:
  jmp draw_object

; Turns the picture with palette Y where it goes.
look:
  lda obj_dir, x
  cmp #RIGHT
  bne :+
  tya
  ora #FLIP
  tay
: rts
